"""Measuring chosen subnets, beside the largest one and on the scale of the device's profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ofa.arch import Arch
from search.device.clock import clock_named
from search.device.measure import Progress, measure
from search.device.profile_file import SAMPLE, Anchor, Profile
from search.device.runtime import Runtime
from search.device.sentinel import SENTINEL_NAME
from search.device.timing import Timing

if TYPE_CHECKING:
    from ofa.supernet import Supernet

SCALE_ANCHORS = 6


@dataclass(frozen=True)
class MeasuredArch:
    """What one subnet took, in ms at batch 1."""

    arch: Arch
    ms: float  # with the machine's drift since the profile divided out: the figure to hold against a limit
    raw_ms: float  # what the clock said now
    relative: float  # to the largest subnet, visited in the same rounds
    timing: Timing
    drift: float  # how much slower the machine is now than when it was profiled: 1.1 is 10 %
    verdict: str  # "ok", "more visits" or "noisy"


def measure_archs(
    supernet: Supernet,
    archs: Sequence[Arch],
    runtime: Runtime,
    *,
    profile: Profile | None = None,
    visits: int = 40,
    repeats: int = 8,
    seconds: float = 25.0,
    seed: int = 0,
    clock: str = "wall",
    progress: Progress | None = None,
) -> tuple[MeasuredArch, ...]:
    """Returns what `archs` take, in their order, each visited in turn with the largest and the sentinel.

    With a `profile`, figures are put on its scale: the sentinel and `SCALE_ANCHORS` of its anchors are timed again
    now, and what they lost or gained is divided out. Without one, `ms` is this run's own and drift is 1.

    Args:
        visits, repeats, seconds, clock, progress: as `search.device.measure.measure`.

    Raises:
        InvalidInput: an Arch of another space, or a runtime that refuses the network.
    """
    for arch in archs:
        supernet.space.validate(arch)
    again = scale_anchors(profile)
    distinct = list(dict.fromkeys([supernet.space.largest, *archs, *(anchor.arch for anchor in again)]))
    measured = measure(
        [supernet.extract(arch).eval() for arch in distinct],
        supernet.example_input[:1],
        runtime,
        visits=visits,
        repeats=repeats,
        seconds=seconds,
        seed=seed,
        clock=clock_named(clock),
        progress=progress,
    )
    found = dict(zip(distinct, measured.timings, strict=True))
    drift = drift_since(profile, measured.sentinel, [(one.ms, found[one.arch].ms) for one in again], measured.clock)
    largest = found[supernet.space.largest].ms
    return tuple(
        MeasuredArch(
            arch=arch,
            ms=found[arch].ms / drift,
            raw_ms=found[arch].raw_ms,
            relative=found[arch].ms / largest,
            timing=found[arch],
            drift=drift,
            verdict=measured.verdict,
        )
        for arch in archs
    )


def scale_anchors(profile: Profile | None) -> tuple[Anchor, ...]:
    """Returns the anchors that are measured again with whatever else is, spread evenly from quick to slow."""
    if profile is None:
        return ()
    own = sorted((anchor for anchor in profile.anchors if anchor.origin == SAMPLE), key=lambda anchor: anchor.ms)
    at = np.unique(np.linspace(0, len(own) - 1, min(SCALE_ANCHORS, len(own))).round().astype(int))
    return tuple(own[index] for index in at)


def drift_since(profile: Profile | None, sentinel: Timing, again: Sequence[tuple[float, float]], clock: str) -> float:
    """Returns how much slower the machine is than in `profile`; 1 where clock or sentinel are others.

    The median over the sentinel and the anchors measured `again` (ms then, ms now): one small network is no scale
    for all.
    """
    if profile is None:
        return 1.0
    if profile.protocol.get("clock") != clock or profile.protocol.get("sentinel") != SENTINEL_NAME:
        return 1.0
    ratios = [sentinel.ms / profile.sentinel.ms, *(now / then for then, now in again)]
    return float(np.median(ratios))
