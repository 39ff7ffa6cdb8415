"""One supernet, a different subnet for each device: each own choice held against the choice of another device.

A device's own choice is compared on that device with what was chosen for another device under a comparable limit:
limits are comparable where their fractions of the largest subnet's time are about the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ofa.arch import Arch
from search.advantage import NOT_BETTER, SAME_SUBNET, Candidate, Verdict, decide, meets, resolution
from search.chosen_subnets import ChosenSubnet, Purpose, latency_limits
from search.compare_words import finding
from search.device.timing import OK_WITHIN
from search.measure import MeasuredArch

LARGEST = "largest"


@dataclass(frozen=True)
class MeasuredDevice:
    """What all subnets took on one device, measured in turn: ms and fraction of the largest's time by Arch."""

    name: str
    runtime: str
    verdict: str
    measured: Mapping[Arch, MeasuredArch]


@dataclass(frozen=True)
class Pair:
    """Two subnets on one device: its own choice for a limit, and the choice of another device for a comparable one."""

    device: str
    own: ChosenSubnet
    purpose: Purpose
    other: ChosenSubnet
    other_purpose: Purpose

    @property
    def limit_ms(self) -> float:
        """The latency limit on the device."""
        return self.purpose.limits_ms[self.device]


def find_pairs(subnets: Sequence[ChosenSubnet], measured: Sequence[str], comparable: float) -> list[Pair]:
    """Returns a Pair for every limit of a measured device and every other device that was searched under one like it.

    Searches of several devices at once are no device's own. Of several choices for the same limit the one of the
    highest validation accuracy counts.

    Args:
        comparable: the factor within which two limits, as fractions of the largest subnet's time, are alike.
    """
    choices = [
        (subnet, purpose)
        for subnet in sorted(subnets, key=lambda one: -(one.validation_accuracy or 0.0))
        for purpose in subnet.purposes
        if len(purpose.devices) == 1 and purpose.limits_ms
    ]
    by_device: dict[str, dict[tuple[Any, ...], tuple[ChosenSubnet, Purpose]]] = {}
    for subnet, purpose in choices:
        (device,) = purpose.devices
        key = (purpose.limits_ms[device], *sorted(purpose.others.items()))
        by_device.setdefault(device, {}).setdefault(key, (subnet, purpose))
    pairs = []
    for device in measured:
        for _, (own, purpose) in sorted(by_device.get(device, {}).items()):
            for other_device, others in sorted(by_device.items()):
                alike = [one for one in others.values() if _ratio(purpose, one[1]) <= comparable]
                if other_device != device and alike:
                    other, other_purpose = min(alike, key=lambda one: _ratio(purpose, one[1]))
                    pairs.append(Pair(device, own, purpose, other, other_purpose))
    return pairs


def comparison(
    subnets: Sequence[ChosenSubnet],
    devices: Sequence[MeasuredDevice],
    accuracy: Mapping[Arch, Mapping[str, float]],
    costs: Mapping[Arch, Mapping[str, int]],
    *,
    images: int,
    comparable: float,
) -> dict[str, Any]:
    """Returns the content of comparison.json: devices, subnets (the largest last), pairs, and a sentence of them.

    Args:
        subnets: what was chosen, and the largest subnet.
        accuracy: fractions by split ("validation", "test").
        images: that the test accuracy was counted on.
        comparable: as `find_pairs`.
    """
    names = {subnet.arch: label(index) if subnet.purposes else LARGEST for index, subnet in enumerate(subnets)}
    rows = []
    for pair in find_pairs(subnets, [device.name for device in devices], comparable):
        device = next(device for device in devices if device.name == pair.device)
        sides = {
            side: Candidate(device.measured[subnet.arch].ms, accuracy[subnet.arch]["test"])
            for side, subnet in (("own", pair.own), ("other", pair.other))
        }
        same_accuracy = resolution((sides["own"].accuracy + sides["other"].accuracy) / 2, images)
        verdict = judge(pair, sides["own"], sides["other"], same_accuracy)
        (other_device,) = pair.other_purpose.devices
        rows.append(
            {
                "device": pair.device,
                "limit_ms": pair.limit_ms,
                "limits": dict(pair.purpose.others),
                "other_device": other_device,
                "other_limit_ms": pair.other_purpose.limits_ms[other_device],
                "own": {"subnet": names[pair.own.arch], **vars(sides["own"])},
                "other": {"subnet": names[pair.other.arch], **vars(sides["other"])},
                "same_accuracy": same_accuracy,
                **vars(verdict),
            }
        )
    return {
        "devices": [{key: getattr(device, key) for key in ("name", "runtime", "verdict")} for device in devices],
        "subnets": [
            {
                "name": names[subnet.arch],
                "arch": subnet.arch.to_dict(),
                "chosen_for": [_purpose_row(purpose) for purpose in subnet.purposes],
                "validation_accuracy": _validation(subnet, accuracy),
                "test_accuracy": accuracy[subnet.arch]["test"],
                **costs[subnet.arch],
                "on": {
                    device.name: _on(device, subnet.arch, latency_limits(subnets, device.name)) for device in devices
                },
            }
            for subnet in subnets
        ],
        "pairs": rows,
        "found": _finding(subnets, rows),
        "same_time": OK_WITHIN,
        "test_images": images,
        "comparable": comparable,
    }


def judge(pair: Pair, own: Candidate, other: Candidate, same_accuracy: float) -> Verdict:
    """Returns the Verdict on a Pair; times that differ by no more than a good measurement's halves are the same."""
    if pair.own.arch == pair.other.arch:
        return Verdict(False, NOT_BETTER, SAME_SUBNET)
    return decide(own, other, pair.limit_ms, same_time=OK_WITHIN, same_accuracy=same_accuracy)


def label(index: int) -> str:
    """Returns the name of a subnet in tables: A to Z, then AA, AB and on."""
    first, last = divmod(index, 26)
    return (label(first - 1) if first else "") + chr(ord("A") + last)


def _ratio(one: Purpose, other: Purpose) -> float:
    """How far apart two limits are as fractions of the largest subnet's time, a factor from 1 on."""
    if one.others != other.others:
        return float("inf")
    (first,), (second,) = one.of_largest.values(), other.of_largest.values()
    return max(first, second) / min(first, second)


def _on(device: MeasuredDevice, arch: Arch, limits: Sequence[float]) -> dict[str, Any]:
    one = device.measured[arch]
    met = [{"limit_ms": limit, "met": meets(one.ms, limit, OK_WITHIN)} for limit in limits]
    return {"ms": one.ms, "of_largest": one.relative, "limits": met}


def _purpose_row(purpose: Purpose) -> dict[str, Any]:
    return {
        "search": purpose.search,
        "devices": list(purpose.devices),
        "limits_ms": dict(purpose.limits_ms),
        "limits": dict(purpose.others),
    }


def _finding(subnets: Sequence[ChosenSubnet], rows: Sequence[Mapping[str, Any]]) -> str:
    searched = {purpose.devices for subnet in subnets for purpose in subnet.purposes}
    alone = sorted(devices[0] for devices in searched if len(devices) == 1)
    return finding(alone, rows, together=len(alone) < len(searched))


def _validation(subnet: ChosenSubnet, accuracy: Mapping[Arch, Mapping[str, float]]) -> float:
    """What the subnet was chosen by; the largest was not chosen and is evaluated for this."""
    if subnet.validation_accuracy is None:
        return accuracy[subnet.arch]["validation"]
    return subnet.validation_accuracy
