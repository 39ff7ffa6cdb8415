"""Plausibility of times measured elsewhere: networks far from what the others suggest are left out or refused.

A file with a valid checksum may still hold meaningless times: a device that throttled once, a clock that jumped,
networks in another order. Each network's time is compared with a robust relation between times and costs, so that a
wrong time does not change what it is compared with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ofa.arch import Arch
from ofa.errors import InvalidInput
from search.config.rules import FEWEST_ANCHORS
from search.device.latency.block_table import BlockTable
from search.device.latency.model import features_of, spearman
from search.device.latency.pieces import from_entries, timed
from search.device.latency.sample import SampleItems
from search.device.profile import Profile
from search.device.timing import Floats, Measurement

if TYPE_CHECKING:
    from ofa.supernet import Supernet

LEAST_SCATTER = 0.02  # scatter of times on a quiet machine, a fraction
FAR, FAR_SCATTERS = 5.0, 8.0  # a factor, larger than a slow path costs (3), and a number of scatters
SWAPPED, SWAPPED_SCATTERS = 1.3, 5.0
BACK, BACK_SCATTERS = 1.15, 3.0  # how close two swapped networks are to expectation once swapped back
TELLING_RANGE = 1.5  # times that differ by a smaller factor say nothing about an order
LEAST_RANK = 0.3  # rank correlation of times and costs, far below that of any device
NEIGHBORS_WITHIN = 50.0  # a factor between the times of one block with different widths
PART_OF_WHOLE = 1.5  # a part of a network may take this factor of the slowest whole network


def expected_times(ms: Floats, features: Mapping[str, Floats]) -> tuple[Floats, float]:
    """Returns the expected times of networks (N,) in ms, and the scatter of times around them, a fraction.

    It uses the feature that times follow best, by a power law that a quarter of wrong times does not change (the median
    of the slopes between all pairs).
    """
    laws = [_power_law(ms, values) for values in features.values() if values.min() > 0]
    if not laws:
        return np.full(len(ms), float(np.median(ms))), float("inf")
    return min(laws, key=lambda law: law[1])


def doubtful(ms: Floats, expected: Floats, scatter: float) -> dict[int, str]:
    """Returns, by index, why a network's time is not plausible; ms and expected are (N,) up to one common factor."""
    off = np.log(ms / expected)
    off = off - np.median(off)
    names = {index: f"{ms[index]:.3g} ms" for index in range(len(ms))}
    scaled = expected * np.exp(np.median(np.log(ms / expected)))
    reasons: dict[int, str] = {}
    for first, second in _swapped(ms, scaled, scatter):
        for index, other in ((first, second), (second, first)):
            reasons[index] = f"takes {names[index]}, where about {scaled[index]:.3g} is expected, as if swapped with "
            reasons[index] += f"number {other}"
    for index in np.flatnonzero(np.abs(off) > max(np.log(FAR), FAR_SCATTERS * scatter)).tolist():
        reasons.setdefault(index, f"takes {names[index]}, where about {scaled[index]:.3g} is expected")
    return reasons


def in_no_order(ms: Floats, features: Mapping[str, Floats]) -> bool:
    """Whether times (N,) of different networks do not rise with any of their features."""
    varied = [values for values in features.values() if values.min() > 0 and _range(values) > TELLING_RANGE]
    if not varied or _range(ms) < TELLING_RANGE:
        return False
    return max(spearman(ms, values) for values in varied) < LEAST_RANK


def doubtful_parts(ms: Sequence[float | None], groups: Sequence[str], slowest: float = float("inf")) -> dict[int, str]:
    """Returns, by index, why a part's time is not plausible.

    Args:
        ms: the time of each part, None where it was refused.
        groups: which part of the network it is; parts of one group differ only in their widths.
        slowest: ms of the slowest whole network that they are parts of.
    """
    reasons = {}
    for index, (value, group) in enumerate(zip(ms, groups, strict=True)):
        if value is None:
            continue
        others = [other for other, name in zip(ms, groups, strict=True) if other is not None and name == group]
        middle = float(np.median(others))
        if value > PART_OF_WHOLE * slowest:
            reasons[index] = f"{group} takes {value:.3g} ms, and the slowest whole network {slowest:.3g}"
        elif len(others) > 2 and not middle / NEIGHBORS_WITHIN < value < middle * NEIGHBORS_WITHIN:
            reasons[index] = f"{group} takes {value:.3g} ms, and with other widths about {middle:.3g}"
    return reasons


def _power_law(ms: Floats, values: Floats) -> tuple[Floats, float]:
    x, y = np.log(values), np.log(ms)
    first, second = np.triu_indices(len(ms), 1)
    steps = x[second] - x[first]
    distinct = np.abs(steps) > 0.01
    slope = float(np.median((y[second] - y[first])[distinct] / steps[distinct])) if distinct.any() else 0.0
    line = slope * x
    line = line + np.median(y - line)
    scatter = 1.4826 * float(np.median(np.abs(y - line)))  # the standard deviation of a normal distribution
    return np.exp(line), max(scatter, LEAST_SCATTER)


def _swapped(ms: Floats, expected: Floats, scatter: float) -> list[tuple[int, int]]:
    """Pairs in which each takes the other's expected time, the likeliest first; each network is in one pair at most."""
    off = np.log(ms / expected)
    far = max(np.log(SWAPPED), SWAPPED_SCATTERS * scatter)
    back = max(np.log(BACK), BACK_SCATTERS * scatter)
    pairs = []
    for slow in np.flatnonzero(off > far).tolist():
        for fast in np.flatnonzero(off < -far).tolist():
            left = max(abs(np.log(ms[fast] / expected[slow])), abs(np.log(ms[slow] / expected[fast])))
            if left < back:
                pairs.append((left, slow, fast))
    chosen: list[tuple[int, int]] = []
    for _, slow, fast in sorted(pairs):
        if not {slow, fast} & {index for pair in chosen for index in pair}:
            chosen.append((slow, fast))
    return chosen


def _range(values: Floats) -> float:
    return float(values.max() / values.min())


JUDGES = ("macs", "table_ms")  # features that times are compared with
MOST_DOUBTFUL = 0.25  # fraction of the networks: above it, the whole measurement is doubtful
AGAIN = "measure it again on the device"


@dataclass(frozen=True)
class Believed:
    """The plausible part of a measurement, and one line for each item that was left out."""

    items: SampleItems
    measured: Measurement
    left_out: tuple[str, ...]


def believed_sample(supernet: Supernet, items: SampleItems, measured: Measurement, source: str) -> Believed:
    """Returns the plausible part of a profile's measurement.

    Raises:
        InvalidInput: naming the networks, where too many are doubtful, the largest is, or the times have no order.
    """
    count = len(items.pieces)
    blocks = [piece.places[0].block if piece.places else "a block" for piece in items.pieces]
    ms = [None if timing is None else timing.ms for timing in measured.pieces]
    macs = features_of(supernet, None, items.archs)["macs"]
    slowest = float(expected_times(measured.ms, {"macs": macs})[0].max())  # robust to a wrong time
    parts = doubtful_parts(ms[:count], blocks, slowest)
    probes = doubtful_parts(ms[count:], ["a probe of widths"] * len(items.widths))
    refused = {*parts, *(count + index for index in probes)}
    pieces = tuple(None if index in refused else timing for index, timing in enumerate(measured.pieces))
    entries = timed(items.pieces, pieces[:count])
    table = BlockTable(supernet, from_entries(supernet, entries)) if entries else None
    features = features_of(supernet, table, items.archs)
    expected, scatter = expected_times(measured.ms, {name: features[name] for name in JUDGES if name in features})
    doubts = doubtful(measured.ms, expected, scatter)
    left = _without(items.archs, replace(measured, pieces=pieces), doubts, supernet, source)
    rest = [index for index in range(len(items.archs)) if index not in doubts]
    if in_no_order(left.measured.ms, {name: values[rest] for name, values in features.items()}):
        raise InvalidInput(
            f"{source}: times of {len(rest)} networks, from {left.measured.ms.min():.3g} to "
            f"{left.measured.ms.max():.3g} ms, rise with nothing that they compute, as if in another order: {AGAIN}"
        )
    if doubts and len(left.items.archs) < FEWEST_ANCHORS:
        raise InvalidInput(f"{source}: {len(left.items.archs)} networks are left without {_listed(doubts)}: {AGAIN}")
    part_reasons = tuple(f"left out: {reason}" for reason in (*parts.values(), *probes.values()))
    whole = replace(items, archs=left.items.archs)
    return Believed(whole, left.measured, (*left.left_out, *part_reasons))


def believed_finalists(
    profile: Profile, supernet: Supernet, archs: Sequence[Arch], measured: Measurement, source: str
) -> Believed:
    """Returns the plausible part of the measurement of a search's subnets and some anchors of the profile.

    An anchor is compared with its earlier time, any other subnet with the profile's prediction.

    Raises:
        InvalidInput: naming the networks, where too many are doubtful, or the sentinel and the anchors disagree.
    """
    known = {anchor.arch: anchor.ms for anchor in profile.anchors}
    predicted = profile.predict_archs(supernet, archs)
    least = 0.1 * min(known.values())  # a prediction far below every measurement is not used
    expected = np.array([known.get(arch, max(float(ms), least)) for arch, ms in zip(archs, predicted, strict=True)])
    scatter = max(LEAST_SCATTER, profile.held_out_error)
    slower = float(np.median(measured.ms / expected))
    sentinel = measured.sentinel.ms / profile.sentinel.ms
    if not 1 / FAR < sentinel / slower < FAR:
        raise InvalidInput(
            f"{source}: the sentinel takes {sentinel:.3g} times what it took, and the networks {slower:.3g} times what "
            f"is expected of them: it is another machine, or a disturbed measurement; {AGAIN}"
        )
    return _without(archs, measured, doubtful(measured.ms, expected, scatter), supernet, source)


def _without(
    archs: Sequence[Arch], measured: Measurement, doubts: dict[int, str], supernet: Supernet, source: str
) -> Believed:
    largest = [index for index in doubts if archs[index] == supernet.space.largest]
    if largest or len(doubts) > max(2, MOST_DOUBTFUL * len(archs)):
        raise InvalidInput(f"{source} is not plausible: {_listed(doubts)}: {AGAIN}")
    rest = [index for index in range(len(archs)) if index not in doubts]
    return Believed(
        SampleItems(tuple(archs[index] for index in rest)),
        replace(measured, timings=tuple(measured.timings[index] for index in rest)),
        tuple(f"network {index} left out: it {reason}" for index, reason in sorted(doubts.items())),
    )


def _listed(doubts: dict[int, str]) -> str:
    lines = [f"network {index} {reason}" for index, reason in sorted(doubts.items())]
    return "; ".join(lines[:3]) + (f"; and {len(lines) - 3} more" if len(lines) > 3 else "")
