"""An episode: one candidate, decided gene by gene, within what it may cost.

Source: He et al. 2018 (AMC), 1802.03494: the state of equation 1, and the bounded actions of algorithm 1, here for
depths, widths, kernel sizes and settings in place of layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from search.candidate import Candidate, Setting
from search.figures import Floats
from search.samplers.context import SamplerContext
from search.samplers.genes import GENE_KINDS, Gene, genes_of
from search.samplers.genome import candidates_of, genomes_of
from search.samplers.goals import Goal

FEATURES = len(GENE_KINDS) + 8
MANY = 10  # values, from which on the state has them as many


@dataclass(frozen=True)
class Ends:
    """All that does not change between the episodes of a study; genomes are (genes,).

    Attributes:
        genes: what is decided, in order.
        largest: the genome of the largest candidate, settings at their start.
        alone: by figure, the least that each value comes to while all others are at their largest, by gene.
        cheapest: by figure, the genome whose every value is the one that costs least so.
    """

    genes: tuple[Gene, ...]
    largest: Floats
    alone: Mapping[str, tuple[Floats, ...]]
    cheapest: Mapping[str, Floats]


def ends_of(context: SamplerContext) -> Ends:
    """Returns the ends of every gene of a space; costs one look at the free figures."""
    space, genes = context.space, genes_of(context.space)
    largest = np.nan_to_num(genomes_of(space, [space.largest])[0])
    rows = np.array([_with(largest, gene.column, value) for gene in genes for value in gene.values])
    borders = np.cumsum([len(gene.values) for gene in genes])[:-1]
    known = context.figures(candidates_of(space, rows)).items()
    alone = {name: tuple(np.split(np.asarray(costs, dtype=np.float64), borders)) for name, costs in known}
    cheapest = {
        name: np.array([gene.values[int(np.argmin(cost))] for gene, cost in zip(genes, costs, strict=True)])
        for name, costs in alone.items()
    }
    return Ends(genes, largest, alone, cheapest)


@dataclass(frozen=True)
class Episode:
    """The rules of one episode: what it may cost, and what its states look like.

    `whole` is the share of the goal's limits that the largest candidate needs.
    """

    context: SamplerContext
    ends: Ends
    goal: Goal
    whole: float

    def cost(self, genomes: Floats) -> Floats:
        """Returns the largest share of a limit that each of the genomes (N, genes) needs, (N,); without a limit 0."""
        return cost_of(self.context, self.goal, candidates_of(self.context.space, genomes))

    def least(self, genomes: Floats, columns: Floats) -> Floats:
        """Returns the least that genomes can come to when all from their columns on is decided anew, (N,)."""
        if not self.goal:
            return np.zeros(len(genomes))
        before = np.arange(genomes.shape[1])[None, :] < columns[:, None]
        shares = []
        for name, limit in self.goal.items():
            ended = candidates_of(self.context.space, np.where(before, genomes, self.ends.cheapest[name]))
            shares.append(np.asarray(self.context.figures(ended)[name]) / limit)
        return np.asarray(np.max(shares, axis=0))

    def walk(self, act: Callable[[Gene, Floats], float]) -> Candidate:
        """Returns the candidate whose values lie nearest to the places that `act` gives.

        `act` is asked for one gene that counts after the other, with the genome (genes,) so far.
        """
        genome, taken = np.zeros(len(self.ends.genes)), dict[str, Setting]()
        for gene in self.ends.genes:
            if gene.counts(taken):
                if gene.is_open:
                    genome[gene.column] = self._decide(gene, genome, act(gene, genome))
                taken[gene.key] = gene.setting(float(genome[gene.column]))
        return candidates_of(self.context.space, genome[None, :])[0]

    def _decide(self, gene: Gene, genome: Floats, place: float) -> float:
        """The value nearest to a place with which the goal can still be met, else the one that costs least."""
        first, *others = gene.nearest_first(place)
        if float(self._least_with(gene, genome, [first])[0]) <= 1:
            return first
        least = self._least_with(gene, genome, others)
        good = np.flatnonzero(least <= 1)
        return others[int(good[0]) if len(good) else int(np.argmin(least))]

    def _least_with(self, gene: Gene, genome: Floats, values: list[float]) -> Floats:
        rows = np.array([_with(genome, gene.column, value) for value in values])
        return self.least(rows, np.full(len(rows), gene.column + 1))

    def states(self, genomes: Floats, genes: list[Gene]) -> Floats:
        """Returns what an agent sees before it decides each gene of a genome (N, genes), (N, FEATURES), in [0, 1].

        The number and kind of the gene, how many values it has and how far apart they are; what the goal is of the
        largest candidate's cost; the cost that is saved already, the rest being largest, and the room that is left,
        the rest being cheapest; the place of the last value that was taken, and the mean of all.
        """
        columns = np.array([gene.column for gene in genes])
        before = np.arange(genomes.shape[1])[None, :] < columns[:, None]
        dense = self.cost(np.where(before, genomes, self.ends.largest))
        least = self.least(genomes, columns)
        sizes = np.array([len(gene.values) if gene.kind != "number" else 0 for gene in self.ends.genes])
        places = np.where(sizes > 0, (genomes + 0.5) / np.maximum(sizes, 1), genomes)
        rows = []
        for number, gene in enumerate(genes):
            decided = places[number, : gene.column] if gene.column else np.ones(1)
            rows.append(
                [
                    gene.column / len(self.ends.genes),
                    *(float(gene.kind == kind) for kind in GENE_KINDS),
                    min(len(gene.values) / MANY, 1.0),
                    _span(gene),
                    min(1.0 / self.whole, 1.0) if self.whole else 1.0,
                    1.0 - min(float(dense[number]) / self.whole, 1.0) if self.whole else 0.0,
                    float(np.clip(1.0 - least[number], 0, 1)),
                    float(decided[-1]),
                    float(decided.mean()),
                ]
            )
        return np.array(rows, dtype=np.float64).reshape(len(rows), FEATURES)


def episode_of(context: SamplerContext, ends: Ends, goal: Goal) -> Episode:
    """Returns the episode of a goal."""
    whole = cost_of(context, goal, candidates_of(context.space, ends.largest[None, :]))
    return Episode(context, ends, goal, float(whole[0]))


def cost_of(context: SamplerContext, goal: Goal, candidates: list[Candidate]) -> Floats:
    """Returns the largest share of a goal's limits that each candidate needs, (candidates,); without a limit 0."""
    if not goal or not candidates:
        return np.zeros(len(candidates))
    figures = context.figures(candidates)
    return np.asarray(np.max([np.asarray(figures[name]) / limit for name, limit in goal.items()], axis=0))


def _with(genome: Floats, column: int, value: float) -> Floats:
    changed = genome.copy()
    changed[column] = value
    return changed


def _span(gene: Gene) -> float:
    """The least value as a fraction of the largest; 0 for what has no size."""
    low, high = gene.setting(gene.values[0]), gene.setting(gene.values[-1])
    if isinstance(low, str) or isinstance(high, str) or not high:
        return 0.0
    return float(np.clip(float(low) / float(high), 0, 1))
