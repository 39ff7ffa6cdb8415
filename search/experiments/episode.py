"""An episode: one candidate, decided gene by gene within its cost limits.

Source: He et al. 2018 (AMC), 1802.03494: the state of equation 1, and the bounded actions of algorithm 1, here for
depths, widths, kernel sizes and settings in place of layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from search.candidates.figures import Floats
from search.candidates.space import Candidate
from search.candidates.trials import SamplerContext
from search.run.cards import Setting
from search.samplers.candidate_sampler import Goal
from search.samplers.genome import GENE_KINDS, Gene, candidates_of, genes_of, genomes_of

FEATURES = len(GENE_KINDS) + 8
MANY = 10  # values: the state does not distinguish larger counts


@dataclass(frozen=True)
class GeneEnds:
    """What stays the same for all episodes of a study; genomes are (genes,).

    Attributes:
        genes: the decisions, in order.
        largest: the genome of the largest candidate, settings at their start.
        alone: by figure and gene, the figure for each value while all other genes are at their largest.
        cheapest: by figure, the genome of the values that cost least so.
    """

    genes: tuple[Gene, ...]
    largest: Floats
    alone: Mapping[str, tuple[Floats, ...]]
    cheapest: Mapping[str, Floats]


def ends_of(context: SamplerContext) -> GeneEnds:
    """Returns the ends of every gene of a space; computes the free figures once."""
    space, genes = context.space, genes_of(context.space)
    largest = np.nan_to_num(genomes_of(space, [space.largest])[0])
    rows = np.array([_with(largest, gene.column, value) for gene in genes for value in gene.values])
    splits = np.cumsum([len(gene.values) for gene in genes])[:-1]
    figures = context.figures(candidates_of(space, rows)).items()
    alone = {name: tuple(np.split(np.asarray(costs, dtype=np.float64), splits)) for name, costs in figures}
    cheapest = {
        name: np.array([gene.values[int(np.argmin(cost))] for gene, cost in zip(genes, costs, strict=True)])
        for name, costs in alone.items()
    }
    return GeneEnds(genes, largest, alone, cheapest)


@dataclass(frozen=True)
class Episode:
    """The rules of one episode: the cost limits, and what its states look like.

    `whole` is the share of the goal's limits that the largest candidate needs.
    """

    context: SamplerContext
    ends: GeneEnds
    goal: Goal
    whole: float

    def cost(self, genomes: Floats) -> Floats:
        """Returns the largest share of a limit that each of the genomes (N, genes) needs, (N,); 0 without a limit."""
        return cost_of(self.context, self.goal, candidates_of(self.context.space, genomes))

    def least(self, genomes: Floats, columns: Floats) -> Floats:
        """Returns the least cost of genomes whose genes from `columns` on are still free, (N,)."""
        if not self.goal:
            return np.zeros(len(genomes))
        before = np.arange(genomes.shape[1])[None, :] < columns[:, None]
        shares = []
        for name, limit in self.goal.items():
            ended = candidates_of(self.context.space, np.where(before, genomes, self.ends.cheapest[name]))
            shares.append(np.asarray(self.context.figures(ended)[name]) / limit)
        return np.asarray(np.max(shares, axis=0))

    def walk(self, act: Callable[[Gene, Floats], float]) -> Candidate:
        """Returns the candidate whose values lie nearest to the positions that `act` returns.

        `act` is called for one active gene after the other, with the genome (genes,) so far.
        """
        genome, decided = np.zeros(len(self.ends.genes)), dict[str, Setting]()
        for gene in self.ends.genes:
            if gene.counts(decided):
                if gene.is_open:
                    genome[gene.column] = self._decide(gene, genome, act(gene, genome))
                decided[gene.key] = gene.setting(float(genome[gene.column]))
        return candidates_of(self.context.space, genome[None, :])[0]

    def _decide(self, gene: Gene, genome: Floats, position: float) -> float:
        """The value nearest to a position with which the goal can still be met, else the one that costs least."""
        first, *others = gene.nearest_first(position)
        if float(self._least_with(gene, genome, [first])[0]) <= 1:
            return first
        least = self._least_with(gene, genome, others)
        feasible = np.flatnonzero(least <= 1)
        return others[int(feasible[0]) if len(feasible) else int(np.argmin(least))]

    def _least_with(self, gene: Gene, genome: Floats, values: list[float]) -> Floats:
        rows = np.array([_with(genome, gene.column, value) for value in values])
        return self.least(rows, np.full(len(rows), gene.column + 1))

    def states(self, genomes: Floats, genes: list[Gene]) -> Floats:
        """Returns what an agent sees before it decides each gene of a genome (N, genes), (N, FEATURES), in [0, 1].

        The number and kind of the gene, how many values it has and how far apart they are; the goal as a share of the
        largest candidate's cost; the cost saved so far if the rest is largest, and the room left if the rest is
        cheapest; the position of the last decided value, and the mean of all.
        """
        columns = np.array([gene.column for gene in genes])
        before = np.arange(genomes.shape[1])[None, :] < columns[:, None]
        dense = self.cost(np.where(before, genomes, self.ends.largest))
        least = self.least(genomes, columns)
        sizes = np.array([len(gene.values) if gene.kind != "number" else 0 for gene in self.ends.genes])
        positions = np.where(sizes > 0, (genomes + 0.5) / np.maximum(sizes, 1), genomes)
        rows = []
        for row, gene in enumerate(genes):
            decided = positions[row, : gene.column] if gene.column else np.ones(1)
            rows.append(
                [
                    gene.column / len(self.ends.genes),
                    *(float(gene.kind == kind) for kind in GENE_KINDS),
                    min(len(gene.values) / MANY, 1.0),
                    _span(gene),
                    min(1.0 / self.whole, 1.0) if self.whole else 1.0,
                    1.0 - min(float(dense[row]) / self.whole, 1.0) if self.whole else 0.0,
                    float(np.clip(1.0 - least[row], 0, 1)),
                    float(decided[-1]),
                    float(decided.mean()),
                ]
            )
        return np.array(rows, dtype=np.float64).reshape(len(rows), FEATURES)


def episode_of(context: SamplerContext, ends: GeneEnds, goal: Goal) -> Episode:
    """Returns the episode of a goal."""
    whole = cost_of(context, goal, candidates_of(context.space, ends.largest[None, :]))
    return Episode(context, ends, goal, float(whole[0]))


def cost_of(context: SamplerContext, goal: Goal, candidates: list[Candidate]) -> Floats:
    """Returns the largest share of a goal's limits that each candidate needs, (candidates,); 0 without a limit."""
    if not goal or not candidates:
        return np.zeros(len(candidates))
    figures = context.figures(candidates)
    return np.asarray(np.max([np.asarray(figures[name]) / limit for name, limit in goal.items()], axis=0))


def _with(genome: Floats, column: int, value: float) -> Floats:
    changed = genome.copy()
    changed[column] = value
    return changed


def _span(gene: Gene) -> float:
    """The smallest value as a fraction of the largest; 0 for values without a size."""
    low, high = gene.setting(gene.values[0]), gene.setting(gene.values[-1])
    if isinstance(low, str) or isinstance(high, str) or not high:
        return 0.0
    return float(np.clip(float(low) / float(high), 0, 1))
