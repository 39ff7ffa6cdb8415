"""One supernet, a different subnet for each device: each device's own choice compared with another device's.

A device's own choice is compared on that device with the choice for another device under a comparable limit:
limits are comparable if their fractions of the largest subnet's time are about the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from msgspec import structs

from ofa.arch import Arch
from ofa.task import Replicates, Score, paired_difference
from search.device.measure_archs import MeasuredArch
from search.device.timing import OK_WITHIN
from search.run.result_files import (
    Comparison,
    DeviceRow,
    LimitRow,
    PairComparison,
    PairSide,
    PurposeRow,
    SubnetComparison,
    SubnetOnDevice,
)
from search.run.scores import MetricFacts, Scores
from search.subnets.advantage import (
    NOT_BETTER,
    SAME_SUBNET,
    Side,
    Verdict,
    decide,
    finding,
    meets,
    resolution,
)
from search.subnets.chosen import ChosenSubnet, Purpose, latency_limits

LARGEST = "largest"


@dataclass(frozen=True)
class MeasuredDevice:
    """The times of all subnets on one device, measured in turn: ms and fraction of the largest subnet's, by Arch."""

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


def find_pairs(
    subnets: Sequence[ChosenSubnet], measured: Sequence[str], comparable: float, metric: MetricFacts
) -> list[Pair]:
    """Returns a Pair for every limit of a measured device and every other device searched under a comparable limit.

    Searches of several devices at once do not count. Of several choices for the same limit the one with the best
    score on validation counts.

    Args:
        comparable: the factor within which two limits, as fractions of the largest subnet's time, are comparable.
        metric: the metric that is compared.
    """

    def worst_last(subnet: ChosenSubnet) -> float:
        return math.inf if subnet.scores is None else -metric.quality(subnet.scores[metric.name].value)

    choices = [
        (subnet, purpose)
        for subnet in sorted(subnets, key=worst_last)
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
                alike = [choice for choice in others.values() if _ratio(purpose, choice[1]) <= comparable]
                if other_device != device and alike:
                    other, other_purpose = min(alike, key=lambda choice: _ratio(purpose, choice[1]))
                    pairs.append(Pair(device, own, purpose, other, other_purpose))
    return pairs


def comparison(
    subnets: Sequence[ChosenSubnet],
    devices: Sequence[MeasuredDevice],
    scores: Mapping[Arch, Scores],
    costs: Mapping[Arch, Mapping[str, int]],
    metrics: tuple[MetricFacts, ...],
    *,
    comparable: float,
    searches: str,
    judged: Mapping[Arch, Replicates] = MappingProxyType({}),
) -> Comparison:
    """Returns the Comparison of subnets on devices.

    Args:
        subnets: the chosen subnets, and the largest.
        costs: "macs", "params" and "bytes".
        metrics: of the scores, that which is compared first.
        comparable: as `find_pairs`.
        judged: of subnets on test, in the metric that is compared: for differences on the same examples.
        searches: digest of the searches' finalists, from which the report sees whether there are newer ones.
    """
    metric = metrics[0]
    on_test = {arch: each.test[metric.name] for arch, each in scores.items()}
    names = {subnet.arch: label(index) if subnet.purposes else LARGEST for index, subnet in enumerate(subnets)}
    rows = []
    for pair in find_pairs(subnets, [device.name for device in devices], comparable, metric):
        device = next(device for device in devices if device.name == pair.device)
        sides = {
            side: Side(device.measured[subnet.arch].ms, metric.quality(on_test[subnet.arch].value))
            for side, subnet in (("own", pair.own), ("other", pair.other))
        }
        same_score = same_within(pair.own.arch, pair.other.arch, on_test, judged)
        verdict = judge(pair, sides["own"], sides["other"], same_score)
        (other_device,) = pair.other_purpose.devices
        rows.append(
            PairComparison(
                device=pair.device,
                limit_ms=pair.limit_ms,
                limits=pair.purpose.others,
                own=PairSide(subnet=names[pair.own.arch], ms=sides["own"].ms, score=on_test[pair.own.arch]),
                other_device=other_device,
                other_limit_ms=pair.other_purpose.limits_ms[other_device],
                other=PairSide(subnet=names[pair.other.arch], ms=sides["other"].ms, score=on_test[pair.other.arch]),
                same_score=same_score,
                better=verdict.better,
                sense=verdict.sense,
                reason=verdict.reason,
            )
        )
    return Comparison(
        devices=tuple(
            DeviceRow(name=device.name, runtime=device.runtime, verdict=device.verdict) for device in devices
        ),
        subnets=tuple(
            SubnetComparison(
                name=names[subnet.arch],
                arch=subnet.arch,
                chosen_for=tuple(_purpose_row(purpose) for purpose in subnet.purposes),
                scores=_scores(subnet, scores[subnet.arch]),
                macs=costs[subnet.arch]["macs"],
                params=costs[subnet.arch]["params"],
                bytes=costs[subnet.arch]["bytes"],
                on={device.name: _on(device, subnet.arch, latency_limits(subnets, device.name)) for device in devices},
            )
            for subnet in subnets
        ),
        pairs=tuple(rows),
        finding=_finding(subnets, rows),
        same_time=OK_WITHIN,
        metrics=metrics,
        test_examples=next(iter(on_test.values())).examples,
        comparable=comparable,
        searches=searches,
    )


def same_within(own: Arch, other: Arch, on_test: Mapping[Arch, Score], judged: Mapping[Arch, Replicates]) -> float:
    """Returns the standard error of the difference of two subnets on the same examples; else that of one score."""
    if own in judged and other in judged:
        error = paired_difference(judged[own], judged[other]).standard_error
        if error is not None:
            return error
    return resolution(on_test[own], on_test[other])


def judge(pair: Pair, own: Side, other: Side, same_score: float) -> Verdict:
    """Returns the Verdict on a Pair; times within `OK_WITHIN` of each other are the same."""
    if pair.own.arch == pair.other.arch:
        return Verdict(False, NOT_BETTER, SAME_SUBNET)
    return decide(own, other, pair.limit_ms, same_time=OK_WITHIN, same_score=same_score)


def label(index: int) -> str:
    """Returns the name of a subnet in tables: A to Z, then AA, AB and on."""
    first, last = divmod(index, 26)
    return (label(first - 1) if first else "") + chr(ord("A") + last)


def _ratio(purpose: Purpose, other: Purpose) -> float:
    """How far apart two limits are as fractions of the largest subnet's time, a factor of at least 1."""
    if purpose.others != other.others:
        return float("inf")
    (first,), (second,) = purpose.of_largest.values(), other.of_largest.values()
    return max(first, second) / min(first, second)


def _on(device: MeasuredDevice, arch: Arch, limits: Sequence[float]) -> SubnetOnDevice:
    measured = device.measured[arch]
    met = tuple(LimitRow(limit_ms=limit, met=meets(measured.ms, limit, OK_WITHIN)) for limit in limits)
    return SubnetOnDevice(ms=measured.ms, of_largest=measured.relative, limits=met)


def _purpose_row(purpose: Purpose) -> PurposeRow:
    return PurposeRow(
        search=purpose.search, devices=purpose.devices, limits_ms=purpose.limits_ms, limits=purpose.others
    )


def _finding(subnets: Sequence[ChosenSubnet], rows: Sequence[PairComparison]) -> str:
    searched = {purpose.devices for subnet in subnets for purpose in subnet.purposes}
    alone = sorted(devices[0] for devices in searched if len(devices) == 1)
    return finding(alone, rows, together=len(alone) < len(searched))


def _scores(subnet: ChosenSubnet, scores: Scores) -> Scores:
    """The scores of a subnet, on validation those that it was chosen by; the largest was not chosen."""
    return scores if subnet.scores is None else structs.replace(scores, validation=subnet.scores)
