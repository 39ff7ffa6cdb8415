"""A model of candidates' quality, fitted to the candidates evaluated so far and to free figures.

Quality is the metric with a sign, so that more is better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search.candidates.figures import Floats
from search.candidates.space import Candidate, CandidateSpace
from search.samplers.gaussian_process import GaussianProcess, fit_gaussian_process
from search.samplers.genome import codes_of, gene_sizes, genomes_of

GAP = 0.05  # how far above the best so far a prediction of fractions can reach
SPREAD_GAP = 0.25  # the same of others, in their interquartile range
LEAST = 1e-3  # smallest quality to divide by


@dataclass(frozen=True)
class Pool:
    """Candidates with their figures, each (candidates,), and the features that quality is learned from.

    `before` is the quality that is expected before any fine-tuning, (candidates,); where it is unknown 1, or 0 of
    qualities that are no fractions.
    """

    candidates: list[Candidate]
    figures: Mapping[str, Floats]
    blocks: tuple[Floats, ...]
    before: Floats
    fractions: bool = True

    def take(self, indices: Sequence[int]) -> Pool:
        """Returns the candidates at `indices`, in this order."""
        return Pool(
            [self.candidates[index] for index in indices],
            {name: values[indices] for name, values in self.figures.items()},
            tuple(block[indices] for block in self.blocks),
            self.before[indices],
            self.fractions,
        )

    def join(self, other: Pool) -> Pool:
        """Returns the candidates of both."""
        return Pool(
            self.candidates + other.candidates,
            {name: np.concatenate([values, other.figures[name]]) for name, values in self.figures.items()},
            tuple(np.concatenate(pair) for pair in zip(self.blocks, other.blocks, strict=True)),
            np.concatenate([self.before, other.before]),
            self.fractions,
        )


def pool_of(
    space: CandidateSpace,
    candidates: Sequence[Candidate],
    figures: Mapping[str, Floats],
    expected: Floats | None = None,
    *,
    fractions: bool = True,
) -> Pool:
    """Returns the pool of candidates whose figures are known.

    Blocks of features: the choices of the Arch one-hot; the settings; how large each choice is, since larger is mostly
    better; the logarithms of the free figures, which help most while few candidates are evaluated; and the `expected`
    quality (candidates,) before any fine-tuning, where that is known. `fractions` says whether qualities are
    from 0 to 1, such as accuracies.
    """
    columns = {name: np.asarray(values, dtype=np.float64) for name, values in figures.items()}
    genomes, sizes = genomes_of(space, candidates), np.maximum(gene_sizes(space), 1.0)
    positions = np.nan_to_num((genomes + 1) / sizes)[:, : len(space.archs.choices)]
    of_archs, of_settings = space.one_hot(codes_of(space, genomes)), space.features_of_settings(candidates)
    costs = np.log(np.maximum(np.column_stack(list(columns.values())), 1e-12))
    before = np.full(len(candidates), float(fractions))
    if expected is not None:
        before = np.maximum(expected, LEAST) if fractions else expected
    blocks = (of_archs, of_settings, positions, costs, *(() if expected is None else (before[:, None],)))
    return Pool(list(candidates), columns, tuple(block for block in blocks if block.shape[1]), before, fractions)


@dataclass(frozen=True)
class QualityModel:
    """A Gaussian process over qualities, each relative to the quality before fine-tuning.

    Relative means a share of fractions, such as accuracies, and a difference of others. Settings can ruin a candidate,
    and a perplexity may be 1 or 10,000. There the process learns the negative logarithm of the distance to `ceiling`,
    a gap above the best so far: a candidate that lost everything is then not much worse than one that lost a lot, and
    small differences near the top count. Related: the power transforms of HEBO (Cowen-Rivers et al. 2020, 2012.03826).
    `ceiling` is None if the process learns them untransformed.
    """

    process: GaussianProcess
    ceiling: float | None

    def predict(self, pool: Pool) -> tuple[Floats, Floats]:
        """Returns the mean and the standard deviation, (candidates,), in the units that `quality` takes."""
        return self.process.predict(pool.blocks)

    def quality(self, predicted: Floats, pool: Pool) -> Floats:
        """Returns the qualities (candidates,) that predictions stand for."""
        relative = predicted if self.ceiling is None else self.ceiling - np.exp(-predicted)
        return np.asarray(pool.before * relative if pool.fractions else pool.before + relative)


def fit_quality(pool: Pool, qualities: Floats, rng: np.random.Generator) -> QualityModel:
    """Returns the model learned from the qualities (candidates,) of a pool, larger is better, in any range."""
    relative, gap = (qualities / pool.before, GAP) if pool.fractions else (qualities - pool.before, 0.0)
    if not pool.fractions:
        gap = SPREAD_GAP * (float(np.subtract(*np.quantile(relative, (0.75, 0.25)))) or float(np.ptp(relative)) or 1.0)
    if pool.fractions and not any(candidate.settings for candidate in pool.candidates):
        return QualityModel(fit_gaussian_process(pool.blocks, relative, rng), None)
    ceiling = float(relative.max()) + gap
    return QualityModel(fit_gaussian_process(pool.blocks, -np.log(ceiling - relative), rng), ceiling)
