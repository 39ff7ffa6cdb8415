"""A model of candidates' accuracy, fitted to the candidates evaluated so far and to free figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search.candidates.figures import Floats
from search.candidates.space import Candidate, CandidateSpace
from search.samplers.gaussian_process import GaussianProcess, fit_gaussian_process
from search.samplers.genome import gene_sizes, genomes_of

GAP = 0.05  # how far above the best accuracy so far a prediction can reach, a fraction
LEAST = 1e-3  # smallest accuracy to divide by


@dataclass(frozen=True)
class Pool:
    """Candidates with their figures, each (candidates,), and the features that accuracy is learned from.

    `before` is the accuracy that is expected before any fine-tuning, (candidates,); 1 where it is unknown.
    """

    candidates: list[Candidate]
    figures: Mapping[str, Floats]
    blocks: tuple[Floats, ...]
    before: Floats

    def take(self, indices: Sequence[int]) -> Pool:
        """Returns the candidates at `indices`, in this order."""
        return Pool(
            [self.candidates[index] for index in indices],
            {name: values[indices] for name, values in self.figures.items()},
            tuple(block[indices] for block in self.blocks),
            self.before[indices],
        )

    def join(self, other: Pool) -> Pool:
        """Returns the candidates of both."""
        return Pool(
            self.candidates + other.candidates,
            {name: np.concatenate([values, other.figures[name]]) for name, values in self.figures.items()},
            tuple(np.concatenate(pair) for pair in zip(self.blocks, other.blocks, strict=True)),
            np.concatenate([self.before, other.before]),
        )


def pool_of(
    space: CandidateSpace,
    candidates: Sequence[Candidate],
    figures: Mapping[str, Floats],
    expected: Floats | None = None,
) -> Pool:
    """Returns the pool of candidates whose figures are known.

    Blocks of features: the choices of the Arch one-hot; the settings; how large each choice is, since larger is mostly
    better; the logarithms of the free figures, which help most while few candidates are evaluated; and the `expected`
    accuracy (candidates,) before any fine-tuning, where that is known.
    """
    columns = {name: np.asarray(values, dtype=np.float64) for name, values in figures.items()}
    features, settings = space.features(candidates), sum(len(parameter.encode(None)) for parameter in space.parameters)
    of_arch, of_settings = np.split(features, [features.shape[1] - settings], axis=1)
    sizes = np.maximum(gene_sizes(space), 1.0)
    positions = np.nan_to_num((genomes_of(space, candidates) + 1) / sizes)[:, : len(space.archs.choices)]
    costs = np.log(np.maximum(np.column_stack(list(columns.values())), 1e-12))
    before = np.ones(len(candidates)) if expected is None else np.maximum(expected, LEAST)
    blocks = (of_arch, of_settings, positions, costs, *(() if expected is None else (before[:, None],)))
    return Pool(list(candidates), columns, tuple(block for block in blocks if block.shape[1]), before)


@dataclass(frozen=True)
class AccuracyModel:
    """A Gaussian process over accuracies, each as a share of the accuracy before fine-tuning.

    Settings can ruin a candidate. If there are any, the process learns the negative logarithm of a share's distance to
    `ceiling`, which is `GAP` above the best so far: a candidate that lost everything is then not much worse than one
    that lost a lot, and small differences near the top count. Related: the power transforms of HEBO (Cowen-Rivers et
    al. 2020, 2012.03826). `ceiling` is None if shares are learned untransformed.
    """

    process: GaussianProcess
    ceiling: float | None

    def predict(self, pool: Pool) -> tuple[Floats, Floats]:
        """Returns the mean and the standard deviation, (candidates,), in the units that `accuracy` takes."""
        return self.process.predict(pool.blocks)

    def accuracy(self, predicted: Floats, pool: Pool) -> Floats:
        """Returns the accuracies (candidates,) that predictions stand for, as fractions."""
        return pool.before * (predicted if self.ceiling is None else self.ceiling - np.exp(-predicted))


def fit_accuracy(pool: Pool, accuracies: Floats, rng: np.random.Generator) -> AccuracyModel:
    """Returns the model learned from the accuracies (candidates,) of a pool."""
    shares = accuracies / pool.before
    if not any(candidate.settings for candidate in pool.candidates):
        return AccuracyModel(fit_gaussian_process(pool.blocks, shares, rng), None)
    ceiling = float(shares.max()) + GAP
    return AccuracyModel(fit_gaussian_process(pool.blocks, -np.log(ceiling - shares), rng), ceiling)
