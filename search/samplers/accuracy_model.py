"""What a candidate's accuracy is expected to be, from the candidates evaluated so far and from free figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search.candidate import Candidate
from search.candidate_space import CandidateSpace
from search.figures import Floats
from search.samplers.gaussian_process import GaussianProcess, fit_gaussian_process
from search.samplers.genome import gene_sizes, genomes_of


@dataclass(frozen=True)
class Pool:
    """Candidates with their figures, each (candidates,), and the features that accuracy is learned from."""

    candidates: list[Candidate]
    figures: Mapping[str, Floats]
    blocks: tuple[Floats, ...]

    def take(self, kept: Sequence[int]) -> Pool:
        """Returns the candidates at these places, in this order."""
        return Pool(
            [self.candidates[place] for place in kept],
            {name: values[kept] for name, values in self.figures.items()},
            tuple(block[kept] for block in self.blocks),
        )

    def join(self, other: Pool) -> Pool:
        """Returns the candidates of both."""
        return Pool(
            self.candidates + other.candidates,
            {name: np.concatenate([values, other.figures[name]]) for name, values in self.figures.items()},
            tuple(np.concatenate(pair) for pair in zip(self.blocks, other.blocks, strict=True)),
        )


def pool_of(
    space: CandidateSpace,
    candidates: Sequence[Candidate],
    figures: Mapping[str, Floats],
    expected: Floats | None = None,
) -> Pool:
    """Returns the pool of candidates whose figures are known.

    Blocks of features: the choices one-hot; how large each is, since larger is mostly better; the logarithms of the
    free figures, which say much where little was evaluated; and the accuracy that is `expected`, (candidates,), before
    any fine-tuning, where that is known.
    """
    known = {name: np.asarray(values, dtype=np.float64) for name, values in figures.items()}
    sizes = np.maximum(gene_sizes(space), 1.0)
    places = np.nan_to_num((genomes_of(space, candidates) + 1) / sizes)[:, : len(space.archs.choices)]
    costs = np.log(np.maximum(np.column_stack(list(known.values())), 1e-12))
    before = () if expected is None else (expected[:, None],)
    return Pool(list(candidates), known, (space.features(candidates), places, costs, *before))


def fit_accuracy(pool: Pool, accuracies: Floats, rng: np.random.Generator) -> GaussianProcess:
    """Returns the process learned from the accuracies (candidates,) of a pool."""
    return fit_gaussian_process(pool.blocks, accuracies, rng)
