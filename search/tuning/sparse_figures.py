"""The free figures of candidates that are pruned: bytes go by the sparsities that a candidate asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ofa.cost import entries_of
from ofa.prune.weights import prunable_weights
from search.candidate import Candidate
from search.figures import CandidateFigures, Figures, Floats
from search.tuning.sparsities import Sparsities

if TYPE_CHECKING:
    from ofa.supernet import Supernet


def sparse_figures(
    supernet: Supernet, figures: Figures, sparsities: Sparsities, *, keep: Sequence[str] = ()
) -> CandidateFigures:
    """Returns the figures of candidates, where "bytes" is what is left on disk once zeros are not stored.

    It is exact for layers of one sparsity each, alone or in groups. Where all layers rank together a layer's zeros are
    taken to be its share of all; after the pruning the exact figure is known.

    Args:
        figures: of Archs.
        sparsities: what candidates ask for.
        keep: patterns of layers that stay whole.

    Raises:
        InvalidInput: a pattern, of `keep` or of a group, that names nothing in the supernet.
    """
    weights = prunable_weights(supernet.model, keep)
    names, each = list(weights), np.array([weight.element_size() for weight in weights.values()])[:, None]
    sparsities.check(names)

    def of(candidates: Sequence[Candidate]) -> Mapping[str, Floats]:
        archs = [candidate.arch for candidate in candidates]
        found = dict(figures(archs))
        entries = entries_of(supernet, archs, names)
        kept = entries - np.rint(sparsities.of(candidates, names) * entries)
        kept = np.where(entries > 0, np.maximum(kept, 1), 0)  # no layer is emptied
        stored = np.minimum(entries * each, kept * each + -(-entries // 8))
        found["bytes"] = found["bytes"] - (entries * each).sum(axis=0) + stored.sum(axis=0)
        return found

    return of
