"""The policy of try-and-learn as an Optuna sampler: a choice is as large as the number of units that it keeps.

Source: Huang et al. 2018, 1801.07365; Williams 1992 (REINFORCE). There a unit is a filter of one layer and a network is
evaluated for each sample; here it is a step from one value of a choice to the next, and the samples are the trials of
the study.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from optuna.study import Study
from torch import Tensor

from ofa.errors import InvalidInput
from ofa.prune.learned.filter_policy import FilterPolicy, advantages, draw, reinforce_loss
from search.candidates.figures import Floats
from search.candidates.history import history_of
from search.candidates.space import Candidate
from search.candidates.trials import SamplerContext
from search.experiments.episode import GeneEnds, cost_of, ends_of, episode_of
from search.samplers.candidate_sampler import (
    CandidateSampler,
    FinishedTrial,
    Goal,
    finished_trials,
    goals_of,
    objective_figures,
    unseen_candidate,
)
from search.samplers.genome import GENE_KINDS, Gene, candidates_of, genomes_of


@dataclass(frozen=True)
class Units:
    """The units of all genes in one row: a gene of n values has n - 1, and counts those before the first removed one.

    `start` is the index of the first unit of each gene; `features` is what the policy reads, (units, features).
    """

    genes: tuple[Gene, ...]
    start: tuple[int, ...]
    features: Tensor

    def genome(self, keep: Sequence[bool]) -> list[float]:
        """Returns the genome of a sample (units,)."""
        values = []
        for gene, start in zip(self.genes, self.start, strict=True):
            units = list(keep[start : start + len(gene.values) - 1])
            values.append(gene.values[units.index(False) if False in units else len(units)])
        return values

    def actions(self, genome: Floats) -> tuple[Tensor, Tensor]:
        """Returns which units a genome keeps and which were decided, (units,); NaN genes are inactive."""
        keep, decided = (torch.zeros(len(self.features), dtype=torch.bool) for _ in range(2))
        for gene, start in zip(self.genes, self.start, strict=True):
            value = float(genome[gene.column])
            if not np.isnan(value):
                step = int(np.argmin(np.abs(np.array(gene.values) - value)))
                keep[start : start + step] = True
                decided[start : start + min(step + 1, len(gene.values) - 1)] = True
        return keep, decided


def units_of(ends: GeneEnds) -> Units:
    """Returns the units of a space; the policy reads their gene's number and kind, their position in it, their cost."""
    rows: list[list[float]] = []
    start: list[int] = []
    for gene in ends.genes:
        start.append(len(rows))
        shares = [np.diff(costs[gene.column]) / max(costs[0].max(), 1e-12) for costs in ends.alone.values()]
        for step in range(len(gene.values) - 1):
            kinds = [float(gene.kind == kind) for kind in GENE_KINDS]
            positions = [gene.column / len(ends.genes), (step + 1) / len(gene.values)]
            rows.append([*positions, *kinds, *(float(share[step]) for share in shares)])
    table = torch.tensor(rows, dtype=torch.float32).reshape(len(rows), -1)
    return Units(ends.genes, tuple(start), (table - table.mean(dim=0)) / table.std(dim=0, correction=0).clamp_min(1e-6))


class FilterPolicySampler(CandidateSampler):
    """Draws of a policy that learns from the qualities of the finished trials that meet the goal of a step.

    Each goal has its own policy, learned from all trials within it, `samples` at a time in the order in which they
    ended. If no draw meets the goal one is made smaller, as `search.experiments.episode` does. The sampler keeps no
    state: a proposal is a function of the finished trials, the seed and the step.

    Args:
        context: the search that it proposes for.
        samples: trials per update.
        learning_rate: of Adam.
        initial_keep: the initial probability that a unit stays.
        tries: draws, of which the first that is new and meets the goal is proposed.

    Raises:
        InvalidInput: an option out of range.
    """

    def __init__(
        self,
        context: SamplerContext,
        *,
        samples: int = 8,
        learning_rate: float = 0.3,
        initial_keep: float = 0.6,
        tries: int = 64,
    ) -> None:
        for name, (value, least) in {"samples": (samples, 2), "tries": (tries, 1)}.items():
            if value < least:
                raise InvalidInput(f"{name}={value!r} must be at least {least}")
        if not learning_rate > 0:
            raise InvalidInput(f"learning_rate={learning_rate!r} must be above 0")
        if not 0 < initial_keep < 1:
            raise InvalidInput(f"initial_keep={initial_keep!r} must be a probability above 0 and below 1")
        super().__init__(context)
        self._samples, self._tries = samples, tries
        self._learning_rate, self._initial_keep = learning_rate, initial_keep

    def next_candidate(self, study: Study) -> Candidate:
        """Returns one new candidate."""
        context, ends = self._context, ends_of(self._context)
        goals, units = goals_of(context, objective_figures(study)), units_of(ends)
        goal, seen = goals[context.step % len(goals)], history_of(study).proposed
        logits = self._learned(units, goal, finished_trials(study))
        keeps = draw(logits, self._tries, torch.Generator().manual_seed(context.step_seed)).tolist()
        genomes = np.array([units.genome(keep) for keep in keeps]).reshape(self._tries, len(ends.genes))
        drawn = candidates_of(context.space, genomes)
        feasible = cost_of(context, goal, drawn) <= 1
        new = next(
            (
                candidate
                for candidate, allowed in zip(drawn, feasible, strict=True)
                if allowed and candidate not in seen
            ),
            None,
        )
        if new is None:
            episode = episode_of(context, ends, goal)
            new = episode.walk(lambda gene, _: gene.position(float(genomes[0, gene.column])))
        if new in seen or cost_of(context, goal, [new])[0] > 1:
            new = unseen_candidate(context, seen, drawn, np.random.default_rng([context.seed, context.step, 3]))
        return new

    def _learned(self, units: Units, goal: Goal, finished: Sequence[FinishedTrial]) -> Tensor:
        """The logits (units,) of a policy that learned from the trials within a goal that fill whole updates."""
        generator = torch.Generator().manual_seed(self._context.seed)
        policy = FilterPolicy(units.features, self._initial_keep, generator)
        optimizer = torch.optim.Adam(policy.parameters(), lr=self._learning_rate)
        costs = cost_of(self._context, goal, [trial.candidate for trial in finished])
        within: list[FinishedTrial] = [trial for trial, cost in zip(finished, costs, strict=True) if cost <= 1]
        genomes = genomes_of(self._context.space, [trial.candidate for trial in within])
        for end in range(self._samples, len(within) + 1, self._samples):
            batch = slice(end - self._samples, end)
            actions, counted = (torch.stack(each) for each in zip(*map(units.actions, genomes[batch]), strict=True))
            rewards = torch.tensor([trial.quality for trial in within[batch]], dtype=torch.float64)
            optimizer.zero_grad()
            torch.autograd.backward(reinforce_loss(policy(), actions, advantages(rewards, None), counted))
            optimizer.step()
        logits: Tensor = policy()
        return logits.detach()


def filter_policy(context: SamplerContext, **options: Any) -> FilterPolicySampler:
    """Returns the policy of try-and-learn; `options` are those of FilterPolicySampler."""
    return FilterPolicySampler(context, **options)
