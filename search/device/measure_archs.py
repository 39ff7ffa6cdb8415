"""Measuring chosen subnets here or on another device, on the scale of the profile, and refitting it with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from msgspec import structs

from ofa.arch import Arch
from ofa.errors import InvalidInput
from search.device.latency.fit import fit_latency_model
from search.device.latency.model import LatencyModel, features_of
from search.device.latency.sample import Sample, SampleItems, network_of
from search.device.measuring import Progress, measure
from search.device.profile import FINALIST, SAMPLE, Anchor, Profile
from search.device.runtime import Runtime
from search.device.timing import REJECTED_ABOVE, SENTINEL_NAME, Measurement, Timing, clock_named
from search.device.workload import Workload

if TYPE_CHECKING:
    from ofa.supernet import Supernet


def with_finalists(profile: Profile, supernet: Supernet, measured: Sequence[tuple[Arch, Timing]]) -> Profile:
    """Returns the profile with subnets measured later as anchors, and its latency model fitted to all anchors.

    An Arch that is already an anchor keeps its first figure. The digest does not change.

    Args:
        measured: Archs with their Timings on the profile's scale (the drift since then is divided out).
    """
    known = {anchor.arch for anchor in profile.anchors}
    fresh = [(arch, timing) for arch, timing in dict(measured).items() if arch not in known]
    if not fresh:
        return profile
    features = features_of(supernet, profile.table(supernet), [arch for arch, _ in fresh])
    added = tuple(
        Anchor(arch, timing, {name: float(values[index]) for name, values in features.items()}, FINALIST)
        for index, (arch, timing) in enumerate(fresh)
    )
    anchors = (*profile.anchors, *added)
    model = refitted(anchors, profile.protocol.seed)
    quality = structs.replace(profile.quality, better_than_macs=model.held_out.mape < model.macs_only.mape)
    return replace(profile, anchors=anchors, model=model, quality=quality)


def refitted(anchors: Sequence[Anchor], seed: int) -> LatencyModel:
    """Returns the latency model fitted to anchors, on the features that all of them have."""
    names = set.intersection(*(set(anchor.costs) for anchor in anchors))
    features = {name: np.array([anchor.costs[name] for anchor in anchors]) for name in sorted(names)}
    return fit_latency_model(features, np.array([anchor.ms for anchor in anchors]), seed=seed)


SCALE_ANCHORS = 6


@dataclass(frozen=True)
class MeasuredArch:
    """The measured latency of one subnet, in ms per run of the profile's workload."""

    arch: Arch
    ms: float  # the machine's drift since the profile divided out: the figure to compare with a limit
    raw_ms: float  # as the clock measured it now
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
    """Returns the latencies of `archs`, in their order, each visited in turn with the largest and the sentinel.

    With a `profile`, runs are of its workload, and figures are put on its scale: the sentinel and `SCALE_ANCHORS` of
    its anchors are timed again, and their drift is divided out. Without one, `ms` is as measured and the drift is 1.

    Args:
        visits, repeats, seconds, clock, progress: as in `search.device.measuring.measure`.

    Raises:
        InvalidInput: an Arch of another space, or a runtime that refuses the network.
    """
    for arch in archs:
        supernet.space.validate(arch)
    again = scale_anchors(profile)
    workload = Workload() if profile is None else profile.workload
    distinct = list(dict.fromkeys([supernet.space.largest, *archs, *(anchor.arch for anchor in again)]))
    measured = measure(
        [network_of(supernet, arch, workload) for arch in distinct],
        runtime,
        visits=visits,
        repeats=repeats,
        seconds=seconds,
        seed=seed,
        clock=clock_named(clock),
        progress=progress,
    )
    timings = dict(zip(distinct, measured.timings, strict=True))
    drift = drift_since(
        profile, measured.sentinel, [(anchor.ms, timings[anchor.arch].ms) for anchor in again], measured.clock
    )
    largest = timings[supernet.space.largest].ms
    return tuple(
        MeasuredArch(
            arch=arch,
            ms=timings[arch].ms / drift,
            raw_ms=timings[arch].raw_ms,
            relative=timings[arch].ms / largest,
            timing=timings[arch],
            drift=drift,
            verdict=measured.verdict,
        )
        for arch in archs
    )


def scale_anchors(profile: Profile | None) -> tuple[Anchor, ...]:
    """Returns the anchors that are measured again with other subnets, spread evenly from fast to slow."""
    if profile is None:
        return ()
    sampled = sorted((anchor for anchor in profile.anchors if anchor.origin == SAMPLE), key=lambda anchor: anchor.ms)
    indices = np.unique(np.linspace(0, len(sampled) - 1, min(SCALE_ANCHORS, len(sampled))).round().astype(int))
    return tuple(sampled[index] for index in indices)


def drift_since(profile: Profile | None, sentinel: Timing, again: Sequence[tuple[float, float]], clock: str) -> float:
    """Returns how much slower the machine is than in `profile`; 1 if the clock or the sentinel differs.

    It is the median over the sentinel and the anchors measured `again` (ms then, ms now): one small network does not
    represent all.
    """
    if profile is None:
        return 1.0
    if profile.protocol.clock != clock or profile.protocol.sentinel != SENTINEL_NAME:
        return 1.0
    ratios = [sentinel.ms / profile.sentinel.ms, *(now / then for then, now in again)]
    return float(np.median(ratios))


def unknown_archs(profile: Profile, archs: Sequence[Arch]) -> list[Arch]:
    """Returns the Archs that the profile has no measurement of, each once."""
    known = {anchor.arch for anchor in profile.anchors}
    return [arch for arch in dict.fromkeys(archs) if arch not in known]


def known_archs(profile: Profile, supernet: Supernet, archs: Sequence[Arch]) -> tuple[MeasuredArch, ...]:
    """Returns the latencies of `archs` from the profile's measurements, in their order; each must be an anchor."""
    timings = {anchor.arch: anchor.timing for anchor in profile.anchors}
    largest = timings[supernet.space.largest].ms
    return tuple(
        MeasuredArch(
            arch=arch,
            ms=timings[arch].ms,
            raw_ms=timings[arch].raw_ms,
            relative=timings[arch].ms / largest,
            timing=timings[arch],
            drift=1.0,
            verdict=profile.quality.verdict,
        )
        for arch in archs
    )


def sample_of(profile: Profile, supernet: Supernet, archs: Sequence[Arch]) -> Sample:
    """Returns what to time so that `archs` are on the profile's scale: they, and some of its anchors."""
    networks = list(dict.fromkeys([*archs, *(anchor.arch for anchor in scale_anchors(profile))]))
    nets = tuple(network_of(supernet, arch, profile.workload) for arch in networks)
    return Sample(SampleItems(tuple(networks)), nets, ())


def with_measured(profile: Profile, supernet: Supernet, archs: Sequence[Arch], measured: Measurement) -> Profile:
    """Returns the profile with the measured `archs` as anchors, on its scale, and its model fitted again.

    Raises:
        InvalidInput: odd and even rounds disagree too much.
    """
    if measured.verdict == "reject":
        raise InvalidInput(
            f"the measurement is rejected: odd and even rounds disagree by {measured.disagreement:.0%}, and "
            f"{REJECTED_ABOVE:.0%} is the most; stop what else runs on the device, or let it rest with --pause"
        )
    timings = dict(zip(archs, measured.timings, strict=True))
    again = [
        (anchor.ms, timings[anchor.arch].ms)
        for anchor in profile.anchors
        if anchor.origin == SAMPLE and anchor.arch in timings
    ]
    drift = drift_since(profile, measured.sentinel, again, measured.clock)
    return with_finalists(profile, supernet, [(arch, timing.scaled(1 / drift)) for arch, timing in timings.items()])
