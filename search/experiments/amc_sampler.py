"""AMC as an Optuna sampler: an agent decides one gene after the other within the cost limits, and learns.

Source: He et al. 2018 (AMC), 1802.03494. Its episodes are the trials of the study, whichever sampler proposed them:
DDPG is off-policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from optuna.study import Study

from ofa.errors import InvalidInput
from ofa.prune.learned import AgentSettings
from ofa.prune.learned.ddpg import Agent, Transition
from search.candidates.figures import Floats
from search.candidates.history import history_of
from search.candidates.space import Candidate
from search.candidates.trials import SamplerContext
from search.experiments.episode import FEATURES, Episode, GeneEnds, cost_of, ends_of, episode_of
from search.samplers.candidate_sampler import (
    CandidateSampler,
    FinishedTrial,
    Goal,
    finished_trials,
    goals_of,
    objective_figures,
    tightest,
    unseen_candidate,
)
from search.samplers.genome import Gene, genomes_of


@dataclass
class _Learned:
    """An agent and the numbers of the trials that it has learned from, in order."""

    settings: AgentSettings
    seed: int
    agent: Agent
    trials: tuple[int, ...] = ()


# The agent of each study: a cache, learned again with the same result.
_AGENTS: WeakKeyDictionary[Study, _Learned] = WeakKeyDictionary()


class AmcSampler(CandidateSampler):
    """Episodes of an agent that learns from the qualities of the finished trials, each within the goal of its step.

    An episode walks the choices of the Arch and then the parameters. Its actions, from 0 to 1, become the nearest value
    with which the goal can still be met. A proposal is a function of the finished trials in the order in which they
    ended, the seed and the step.

    Args:
        context: the search that it proposes for.
        tries: episodes until one ends with a candidate that is new.
        warmup, noise, noise_decay, settings: of the agent, see `ofa.prune.learned.AgentSettings`; its warm-up is in
            trials.

    Raises:
        InvalidInput: an option out of range.
    """

    def __init__(
        self,
        context: SamplerContext,
        *,
        tries: int = 8,
        warmup: int = 40,
        noise: float = 0.5,
        noise_decay: float = 0.95,
        **settings: Any,
    ) -> None:
        if tries < 1:
            raise InvalidInput(f"tries={tries!r} must be at least 1")
        super().__init__(context)
        self._tries = tries
        self._settings = AgentSettings(warmup=warmup, noise=noise, noise_decay=noise_decay, **settings)

    def next_candidate(self, study: Study) -> Candidate:
        """Returns one new candidate."""
        context, ends = self._context, ends_of(self._context)
        goals, finished = goals_of(context, objective_figures(study)), finished_trials(study)
        agent = self._agent(study, ends, goals, finished)
        goal, seen = goals[context.step % len(goals)], history_of(study).proposed
        episode = episode_of(context, ends, goal)
        agent.generator.manual_seed(context.step_seed)

        def act(gene: Gene, genome: Floats) -> float:
            return agent.act(torch.from_numpy(episode.states(genome[None, :], [gene])[0]).float(), len(finished))

        proposals: list[Candidate] = []
        for _ in range(self._tries):
            proposals.append(episode.walk(act))
            if proposals[-1] not in seen and cost_of(context, goal, proposals[-1:])[0] <= 1:
                return proposals[-1]
        other = unseen_candidate(context, seen, proposals, np.random.default_rng([context.seed, context.step, 3]))
        return other

    def _agent(self, study: Study, ends: GeneEnds, goals: Sequence[Goal], finished: Sequence[FinishedTrial]) -> Agent:
        """The agent after it has learned from all finished trials."""
        numbers = tuple(trial.number for trial in finished)
        learned, settings = _AGENTS.get(study), (self._settings, self._context.seed)
        if (
            learned is None
            or (learned.settings, learned.seed) != settings
            or learned.trials != numbers[: len(learned.trials)]
        ):
            generator = torch.Generator().manual_seed(self._context.seed)
            learned = _Learned(*settings, Agent(FEATURES, len(ends.genes), self._settings, generator))
            _AGENTS[study] = learned
        new = finished[len(learned.trials) :]
        goal_indices = tightest(self._context, goals, [trial.candidate for trial in new])
        for trial, goal_index in zip(new, goal_indices, strict=True):
            self._learn(learned.agent, episode_of(self._context, ends, goals[goal_index]), trial, len(learned.trials))
            learned.trials = (*learned.trials, trial.number)
        return learned.agent

    def _learn(self, agent: Agent, episode: Episode, trial: FinishedTrial, number: int) -> None:
        """Stores the decisions of a trial; after the warm-up, learns once for each of them."""
        seed = np.random.SeedSequence([self._context.seed, trial.number, 5]).generate_state(1)[0]
        agent.generator.manual_seed(int(seed))
        genome = genomes_of(self._context.space, [trial.candidate])[0]
        genes = [gene for gene in episode.ends.genes if gene.is_open and not np.isnan(genome[gene.column])]
        if not genes:
            return
        genomes = np.tile(np.nan_to_num(genome), (len(genes), 1))
        states = torch.from_numpy(episode.states(genomes, genes)).float()
        reward = trial.quality - 1.0
        for index, gene in enumerate(genes):
            last = index == len(genes) - 1
            action, following = gene.position(float(genome[gene.column])), states[index if last else index + 1]
            agent.memory.append(Transition(states[index], action, reward, following, last))
            if number >= self._settings.warmup:
                agent.learn()


def amc(context: SamplerContext, **options: Any) -> AmcSampler:
    """Returns AMC's agent; `options` are those of AmcSampler."""
    return AmcSampler(context, **options)
