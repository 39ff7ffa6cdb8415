"""Measuring chosen subnets, beside the largest one and on the scale of the device's profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ofa.arch import Arch
from search.device.clock import clock_named
from search.device.measure import Progress, measure
from search.device.profile_file import Profile
from search.device.runtime import Runtime
from search.device.sentinel import SENTINEL_NAME
from search.device.timing import Timing

if TYPE_CHECKING:
    from ofa.supernet import Supernet


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

    With a `profile`, figures are put on its scale: the sentinel was timed for it and is timed again now, and
    what it lost or gained is divided out. Without one, `ms` is this run's own and drift is 1.

    Args:
        visits, repeats, seconds, clock, progress: as `search.device.measure.measure`.

    Raises:
        InvalidInput: an Arch of another space, or a runtime that refuses the network.
    """
    for arch in archs:
        supernet.space.validate(arch)
    distinct = list(dict.fromkeys([supernet.space.largest, *archs]))
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
    drift = drift_since(profile, measured.sentinel, measured.clock)
    found = dict(zip(distinct, measured.timings, strict=True))
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


def drift_since(profile: Profile | None, sentinel: Timing, clock: str) -> float:
    """Returns how much slower the sentinel is than in `profile`; 1 where clock or sentinel are others."""
    if profile is None:
        return 1.0
    comparable = profile.protocol.get("clock") == clock and profile.protocol.get("sentinel") == SENTINEL_NAME
    return sentinel.ms / profile.sentinel.ms if comparable else 1.0
