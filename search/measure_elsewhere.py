"""Chosen subnets on another machine: what is known of them, what has to be measured there, what that teaches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ofa.arch import Arch
from ofa.errors import InvalidInput
from search.device.profile_file import SAMPLE, Profile
from search.device.refit import with_finalists
from search.device.sample import Sample, SampleItems
from search.device.timing import REJECTED_ABOVE, Measurement
from search.measure import MeasuredArch, drift_since, scale_anchors

if TYPE_CHECKING:
    from ofa.supernet import Supernet


def unknown_archs(profile: Profile, archs: Sequence[Arch]) -> list[Arch]:
    """Returns the Archs that the profile holds no measurement of, once each."""
    known = {anchor.arch for anchor in profile.anchors}
    return [arch for arch in dict.fromkeys(archs) if arch not in known]


def known_archs(profile: Profile, supernet: Supernet, archs: Sequence[Arch]) -> tuple[MeasuredArch, ...]:
    """Returns what `archs` take by the profile's own measurements, in their order; every one of them is known."""
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
            verdict=str(profile.quality.get("verdict", "ok")),
        )
        for arch in archs
    )


def sample_of(profile: Profile, supernet: Supernet, archs: Sequence[Arch]) -> Sample:
    """Returns what has to be timed for `archs` to be on the profile's scale: they, and some of its anchors."""
    everything = list(dict.fromkeys([*archs, *(anchor.arch for anchor in scale_anchors(profile))]))
    nets = tuple(supernet.extract(arch).eval() for arch in everything)
    return Sample(SampleItems(tuple(everything)), nets, ())


def with_measured(profile: Profile, supernet: Supernet, archs: Sequence[Arch], measured: Measurement) -> Profile:
    """Returns the profile with what was measured of `archs` as anchors, on its own scale, and its model fitted anew.

    Raises:
        InvalidInput: odd and even rounds are too far apart to tell anything.
    """
    if measured.verdict == "reject":
        raise InvalidInput(
            f"the measurement is rejected: odd and even rounds disagree by {measured.disagreement:.0%}, and "
            f"{REJECTED_ABOVE:.0%} is the most; stop what else runs on the device, or let it rest with --pause"
        )
    found = dict(zip(archs, measured.timings, strict=True))
    again = [
        (anchor.ms, found[anchor.arch].ms)
        for anchor in profile.anchors
        if anchor.origin == SAMPLE and anchor.arch in found
    ]
    drift = drift_since(profile, measured.sentinel, again, measured.clock)
    return with_finalists(profile, supernet, [(arch, timing.scaled(1 / drift)) for arch, timing in found.items()])
