"""What the searches of a run chose: each subnet once, with everything that it was chosen for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ofa.arch import Arch
from search.figures import LATENCY, is_latency
from search.subnet_rows import times_of


@dataclass(frozen=True)
class Purpose:
    """What a search chose a subnet for.

    Attributes:
        devices: those of the search, in its order.
        limits_ms: latency limits by device.
        of_largest: the same, as fractions of what the largest subnet took there.
        others: limits of other figures, by name.
    """

    search: str
    devices: tuple[str, ...]
    limits_ms: Mapping[str, float]
    of_largest: Mapping[str, float]
    others: Mapping[str, float]


@dataclass(frozen=True)
class ChosenSubnet:
    """One subnet and its purposes, none where it is there to compare with; accuracy is of validation, a fraction."""

    arch: Arch
    purposes: tuple[Purpose, ...] = ()
    validation_accuracy: float | None = None

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that it was chosen for."""
        return tuple(dict.fromkeys(device for purpose in self.purposes for device in purpose.devices))


def chosen_subnets(found: Mapping[str, Mapping[str, Any]]) -> tuple[ChosenSubnet, ...]:
    """Returns the distinct subnets of searches, by device, those of the tightest limits first.

    Args:
        found: the contents of the searches' finalists.json by name of the search.
    """
    subnets: dict[Arch, ChosenSubnet] = {}
    for search, content in found.items():
        for finalist in content["finalists"]:
            arch = Arch.from_dict(finalist["chosen"]["arch"])
            known = subnets.get(arch, ChosenSubnet(arch, (), float(finalist["chosen"]["accuracy"])))
            purposes = (*known.purposes, _purpose(search, content, finalist["target"]))
            subnets[arch] = replace(known, purposes=purposes)
    return tuple(sorted(subnets.values(), key=_order))


def latency_limits(subnets: Sequence[ChosenSubnet], device: str) -> tuple[float, ...]:
    """Returns every limit in ms that a search had on a device, ascending."""
    purposes = [purpose for subnet in subnets for purpose in subnet.purposes]
    return tuple(sorted({purpose.limits_ms[device] for purpose in purposes if device in purpose.limits_ms}))


def _purpose(search: str, content: Mapping[str, Any], target: Mapping[str, float]) -> Purpose:
    devices: Mapping[str, str] = content.get("devices", {LATENCY: content["device"]})
    largest_ms = times_of(content["largest"])
    limited = [figure for figure in devices if figure in target]
    return Purpose(
        search=search,
        devices=tuple(devices.values()),
        limits_ms={devices[figure]: float(target[figure]) for figure in limited},
        of_largest={devices[figure]: target[figure] / largest_ms[figure] for figure in limited},
        others={name: float(limit) for name, limit in target.items() if not is_latency(name)},
    )


def _order(subnet: ChosenSubnet) -> tuple[list[str], float]:
    limits = [fraction for purpose in subnet.purposes for fraction in purpose.of_largest.values()]
    return sorted(subnet.devices), min(limits, default=float("inf"))
