"""The subnets that the searches of a run chose, and what for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.records import content_of, read_record
from search.candidates.figures import LATENCY, is_latency
from search.candidates.search_files import Finalist, Finalists, SubnetRow
from search.run.contents import complete_searches
from search.run.paths import RunFolder, SearchFolder
from search.run.scores import Values
from search.run.stages import hash_of


def found_by_searches(run: RunFolder) -> dict[str, Finalists]:
    """Returns the finalists of the complete searches, by name of the search."""
    return {name: read_record(SearchFolder(run.search(name)).finalists, Finalists) for name in complete_searches(run)}


def digest_of_searches(finalists: Mapping[str, Finalists]) -> str:
    """Returns 16 hex digits of the result of `found_by_searches`."""
    return hash_of({name: content_of(chosen) for name, chosen in finalists.items()})


@dataclass(frozen=True)
class Purpose:
    """The purpose for which a search chose a subnet.

    Attributes:
        devices: the devices of the search, in its order.
        limits_ms: latency limits by device.
        of_largest: the same, as fractions of the largest subnet's time on that device.
        others: limits of other figures, by name.
    """

    search: str
    devices: tuple[str, ...]
    limits_ms: Mapping[str, float]
    of_largest: Mapping[str, float]
    others: Mapping[str, float]


@dataclass(frozen=True)
class ChosenSubnet:
    """One subnet and its purposes; without purposes it is a baseline.

    Attributes:
        scores: on validation, by metric.
        tuned: the search and the name of the folder there with its fine-tuned weights; None: it has the supernet's.
    """

    arch: Arch
    purposes: tuple[Purpose, ...] = ()
    scores: Values | None = None
    tuned: tuple[str, str] | None = None

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that it was chosen for."""
        return tuple(dict.fromkeys(device for purpose in self.purposes for device in purpose.devices))


def chosen_subnets(finalists: Mapping[str, Finalists]) -> tuple[ChosenSubnet, ...]:
    """Returns the distinct subnets of searches, by device, tightest limits first.

    Args:
        finalists: the finalists by name of the search.
    """
    subnets: dict[Arch, ChosenSubnet] = {}
    for search, content in finalists.items():
        for finalist in content.finalists:
            arch = finalist.chosen.arch
            tuned = None if finalist.chosen.tuned is None else (search, finalist.chosen.tuned)
            subnet = subnets.get(arch, ChosenSubnet(arch, (), finalist.chosen.scores, tuned))
            purposes = (*subnet.purposes, _purpose(search, content, finalist.target))
            subnets[arch] = replace(subnet, purposes=purposes)
    return tuple(sorted(subnets.values(), key=_order))


def latency_limits(subnets: Sequence[ChosenSubnet], device: str) -> tuple[float, ...]:
    """Returns every limit in ms that a search had on a device, ascending."""
    purposes = [purpose for subnet in subnets for purpose in subnet.purposes]
    return tuple(sorted({purpose.limits_ms[device] for purpose in purposes if device in purpose.limits_ms}))


def _purpose(search: str, content: Finalists, target: Mapping[str, float]) -> Purpose:
    devices, largest_ms = content.devices, content.largest.measured
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


def row_for(rows: Sequence[SubnetRow], target: Mapping[str, float]) -> SubnetRow | None:
    """Returns the row of the subnet that was chosen for a target; None if it was not extracted."""
    return next((row for row in rows if not row.largest and row.limits == dict(target)), None)


def with_limit(finalists: Sequence[Finalist], limit: float | None, search: str) -> list[Finalist]:
    """Returns the finalists that were chosen for a latency limit in ms; all where it is None.

    Raises:
        InvalidInput: there is none.
    """
    if limit is None:
        return list(finalists)
    matching = [finalist for finalist in finalists if finalist.target.get(LATENCY) == limit]
    if not matching:
        limits = [f"{finalist.target[LATENCY]:g}" for finalist in finalists if LATENCY in finalist.target]
        choices = f"its limits are {', '.join(limits)} ms" if limits else "it has no latency limits: leave limit out"
        raise InvalidInput(f"limit={limit:g}: the search {search} chose no subnet for {limit:g} ms; {choices}")
    return matching


def searches_for(names: Sequence[str], run: RunFolder, limit: float | None) -> list[str]:
    """Returns those of the searches that chose a subnet for a latency limit in ms; all where none did or it is None."""

    def chose(name: str) -> bool:
        finalists = read_record(SearchFolder(run.search(name)).finalists, Finalists).finalists
        return any(finalist.target.get(LATENCY) == limit for finalist in finalists)

    return [name for name in names if limit is not None and chose(name)] or list(names)
