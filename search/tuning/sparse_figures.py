"""The free figures of candidates that are pruned: bytes go by the sparsity that a candidate asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ofa.cost import entries_of
from ofa.prune.weights import prunable_weights
from search.candidate import Candidate
from search.figures import CandidateFigures, Figures, Floats

if TYPE_CHECKING:
    from ofa.supernet import Supernet


def sparse_figures(
    supernet: Supernet, figures: Figures, *, name: str | None, sparsity: float, keep: Sequence[str] = ()
) -> CandidateFigures:
    """Returns the figures of candidates, where "bytes" is what is left on disk once zeros are not stored.

    A layer's zeros are taken to be its share of all; after the pruning the exact figure is known.

    Args:
        figures: of Archs.
        name: of the setting that is the sparsity, a fraction removed; None where all have the same `sparsity`.
        keep: patterns of layers that stay whole.
    """
    weights = prunable_weights(supernet.model, keep)
    names, each = list(weights), np.array([weight.element_size() for weight in weights.values()])[:, None]

    def of(candidates: Sequence[Candidate]) -> Mapping[str, Floats]:
        archs = [candidate.arch for candidate in candidates]
        found = dict(figures(archs))
        removed = np.array([float(candidate.values.get(name or "", sparsity)) for candidate in candidates])
        entries = entries_of(supernet, archs, names)
        kept = np.round((1 - removed)[None, :] * entries)
        stored = np.minimum(entries * each, kept * each + -(-entries // 8))
        found["bytes"] = found["bytes"] - (entries * each).sum(axis=0) + stored.sum(axis=0)
        return found

    return of
