"""AMC as an Optuna sampler: an agent decides gene after gene within what a candidate may cost, and learns.

Source: He et al. 2018 (AMC), 1802.03494. Its episodes are the trials of the study, whoever proposed them: DDPG learns
from what others did as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from optuna.samplers import BaseSampler
from optuna.study import Study

from ofa.errors import InvalidInput
from ofa.prune.learned import AgentSettings, negative_error
from ofa.prune.learned.ddpg import Agent, Transition
from search.candidate import Candidate
from search.figures import Floats
from search.samplers.candidate_sampler import CandidateSampler
from search.samplers.context import SamplerContext
from search.samplers.episode import FEATURES, Ends, Episode, cost_of, ends_of, episode_of
from search.samplers.finished import Told, seen_candidates, told_trials
from search.samplers.genes import Gene
from search.samplers.genome import genomes_of
from search.samplers.goals import Goal, goals_of, objective_figures, tightest
from search.samplers.unseen import unseen_candidate


@dataclass
class _Learned:
    """An agent and the numbers of the trials that it has learned from, in order."""

    settings: AgentSettings
    seed: int
    agent: Agent
    trials: tuple[int, ...] = ()


# The agent of a study that is under way: what is lost here is learned again, equal.
_AGENTS: WeakKeyDictionary[Study, _Learned] = WeakKeyDictionary()


class AmcSampler(CandidateSampler):
    """Episodes of an agent that learns from the accuracies of the finished trials, each within the goal of its step.

    An episode walks the choices of the Arch and then the parameters. Its actions, from 0 to 1, become the nearest value
    with which the goal can still be met. A proposal is a function of the finished trials in the order in which they
    ended, the seed and the step.

    Args:
        context: what is searched.
        tries: episodes until one ends with a candidate that is new.
        settings: of the agent, see `ofa.prune.learned.AgentSettings`; its warm-up is in trials.

    Raises:
        InvalidInput: an option out of range.
    """

    def __init__(self, context: SamplerContext, *, tries: int = 8, **settings: Any) -> None:
        if tries < 1:
            raise InvalidInput(f"tries={tries!r} must be at least 1")
        super().__init__(context)
        self._tries = tries
        self._settings = AgentSettings(**({"warmup": 40} | settings))

    def next_candidate(self, study: Study) -> Candidate:
        """Returns one new candidate."""
        context, ends = self._context, ends_of(self._context)
        goals, told = goals_of(context, objective_figures(study)), told_trials(study)
        agent = self._agent(study, ends, goals, told)
        goal, seen = goals[context.step % len(goals)], seen_candidates(study)
        episode = episode_of(context, ends, goal)
        agent.generator.manual_seed(context.step_seed)

        def act(gene: Gene, genome: Floats) -> float:
            return agent.act(torch.from_numpy(episode.states(genome[None, :], [gene])[0]).float(), len(told))

        made: list[Candidate] = []
        for _ in range(self._tries):
            made.append(episode.walk(act))
            if made[-1] not in seen and cost_of(context, goal, made[-1:])[0] <= 1:
                return made[-1]
        other = unseen_candidate(context, seen, made, np.random.default_rng([context.seed, context.step, 3]))
        return other

    def _agent(self, study: Study, ends: Ends, goals: Sequence[Goal], told: Sequence[Told]) -> Agent:
        """The agent, having learned from all trials that have ended."""
        numbers = tuple(one.number for one in told)
        known, asked = _AGENTS.get(study), (self._settings, self._context.seed)
        if known is None or (known.settings, known.seed) != asked or known.trials != numbers[: len(known.trials)]:
            generator = torch.Generator().manual_seed(self._context.seed)
            known = _Learned(*asked, Agent(FEATURES, len(ends.genes), self._settings, generator))
            _AGENTS[study] = known
        new = told[len(known.trials) :]
        places = tightest(self._context, goals, [one.candidate for one in new])
        for one, place in zip(new, places, strict=True):
            self._learn(known.agent, episode_of(self._context, ends, goals[place]), one, len(known.trials))
            known.trials = (*known.trials, one.number)
        return known.agent

    def _learn(self, agent: Agent, episode: Episode, told: Told, number: int) -> None:
        """Remembers the decisions of the trial of a number; learns once for each of them, after the warm-up."""
        seed = np.random.SeedSequence([self._context.seed, told.number, 5]).generate_state(1)[0]
        agent.generator.manual_seed(int(seed))
        genome = genomes_of(self._context.space, [told.candidate])[0]
        genes = [gene for gene in episode.ends.genes if gene.is_open and not np.isnan(genome[gene.column])]
        if not genes:
            return
        genomes = np.tile(np.nan_to_num(genome), (len(genes), 1))
        states = torch.from_numpy(episode.states(genomes, genes)).float()
        paid = negative_error(told.accuracy, 0.0)
        for place, gene in enumerate(genes):
            last = place == len(genes) - 1
            action, following = gene.place(float(genome[gene.column])), states[place if last else place + 1]
            agent.memory.append(Transition(states[place], action, paid, following, last))
            if number >= self._settings.warmup:
                agent.learn()


def amc(context: SamplerContext, **options: Any) -> BaseSampler:
    """Returns AMC's agent; `options` are those of AmcSampler."""
    return AmcSampler(context, **options)
