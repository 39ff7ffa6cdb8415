"""Refit: what a search measured becomes part of the profile, since winners of a search are where predictors fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ofa.arch import Arch
from search.device.features import features_of
from search.device.fit import fit_latency_model
from search.device.latency_model import LatencyModel
from search.device.profile_file import FINALIST, Anchor, Profile
from search.device.timing import Timing

if TYPE_CHECKING:
    from ofa.supernet import Supernet


def with_finalists(profile: Profile, supernet: Supernet, measured: Sequence[tuple[Arch, Timing]]) -> Profile:
    """Returns the profile with subnets measured later as anchors, and its latency model fitted to all of them.

    An Arch that is an anchor already keeps its first figure. The digest stays that of what was profiled.

    Args:
        measured: Archs with their Timings on the profile's scale (drift since then divided out).
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
    model = refitted(anchors, int(profile.protocol.get("seed", 0)))
    better = {"better_than_macs": model.held_out.mape < model.macs_only.mape}
    return replace(profile, anchors=anchors, model=model, quality={**profile.quality, **better})


def refitted(anchors: Sequence[Anchor], seed: int) -> LatencyModel:
    """Returns the latency model of anchors with the features that each of them carries."""
    names = set.intersection(*(set(anchor.costs) for anchor in anchors))
    features = {name: np.array([anchor.costs[name] for anchor in anchors]) for name in sorted(names)}
    return fit_latency_model(features, np.array([anchor.ms for anchor in anchors]), seed=seed)
