"""The figures of a supernet's Archs: predicted latency on each device, and exact costs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ofa.arch import Arch
from ofa.cost import cost
from ofa.errors import InvalidInput
from ofa.memory import peak_activation_bytes
from search.candidate import Candidate
from search.device.profile_file import Profile
from search.figures import CandidateFigures, Figures, Floats

if TYPE_CHECKING:
    from ofa.supernet import Supernet

PEAK = "peak_activation_bytes"


def free_figures(supernet: Supernet, profiles: Mapping[str, Profile], asked: Collection[str] = ()) -> Figures:
    """Returns the function that gives the figures of Archs by name, each float64 (archs,): ms, MACs, counts, bytes.

    Where the peak of the activations cannot be known that figure is left out.

    Args:
        profiles: the device's profile by the name of its latency figure.
        asked: the names of the figures that are limited or optimised.

    Raises:
        InvalidInput: the peak of the activations is among those asked for and cannot be known, with the reason.
    """
    has_peak = True
    try:
        peak_activation_bytes(supernet, [supernet.space.smallest])
    except InvalidInput as error:
        if PEAK in asked:
            raise InvalidInput(f"{PEAK} cannot be limited or optimised here: {error}") from None
        has_peak = False

    def figures(archs: Sequence[Arch]) -> dict[str, Any]:
        costs = cost(supernet, archs)
        found: dict[str, Any] = {name: profile.predict_archs(supernet, archs) for name, profile in profiles.items()}
        found |= {name: np.asarray(costs[name], dtype=np.float64) for name in ("macs", "params", "bytes")}
        if has_peak:
            found[PEAK] = np.asarray(peak_activation_bytes(supernet, archs), dtype=np.float64)
        return found

    return figures


def of_candidates(figures: Figures) -> CandidateFigures:
    """Returns the figures of candidates whose settings change none of them."""

    def of(candidates: Sequence[Candidate]) -> Mapping[str, Floats]:
        return figures([candidate.arch for candidate in candidates])

    return of
