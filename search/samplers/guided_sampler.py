"""Predictor-guided search as an Optuna sampler: accuracy is learned, figures are free, limits are kept.

A Gaussian process learns accuracy from the finished trials; an evolution over thousands of candidates, whose figures
cost nothing, finds the predicted front within the limits; a batch spread over it is evaluated next. Related: BRP-NAS
(Dudziak et al. 2020, 2007.08668) and BANANAS (White et al. 2021, 1910.11858), which search by a learned accuracy too;
the choice of a batch by hypervolume is that of Emmerich et al. 2006 with an optimistic mean in place of a draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ofa.errors import InvalidInput
from search.candidate import Candidate
from search.samplers.candidate_sampler import CandidateSampler
from search.samplers.context import SamplerContext
from search.samplers.goals import accuracy_place, objective_figures
from search.samplers.guided_batch import Effort, Observed, next_batch
from search.samplers.startup_design import startup_design
from search.samplers.unseen import unseen_candidate
from search.trials import candidate_of, state_of

# The batch of a study that is under way, and the step that it began with: what is lost here is computed again, equal.
_BATCHES: WeakKeyDictionary[Study, tuple[int, list[Candidate]]] = WeakKeyDictionary()


class GuidedSampler(CandidateSampler):
    """Batches of candidates whose predicted accuracy is best for what they cost, all within the limits and new.

    The first `startup_trials` steps are a design spread over all sizes; then come batches of `batch` steps. A batch is
    a function of the trials that were finished when it began, the seed and the step. Targets take turns in it.

    Args:
        context: what is searched.
        startup_trials: steps before anything is predicted.
        batch: steps between two fits.
        generations: of the evolution for a batch.
        children: of each generation.
        parents: that breed.
        optimism: standard deviations above the mean at which a candidate is judged: more explores more.

    Raises:
        InvalidInput: an option out of range.
    """

    def __init__(
        self,
        context: SamplerContext,
        *,
        startup_trials: int = 12,
        batch: int = 10,
        generations: int = 12,
        children: int = 200,
        parents: int = 60,
        optimism: float = 1.0,
    ) -> None:
        counts = {"startup_trials": (startup_trials, 2), "batch": (batch, 1), "generations": (generations, 1)}
        for name, (value, least) in (counts | {"children": (children, 2), "parents": (parents, 1)}).items():
            if value < least:
                raise InvalidInput(f"{name}={value!r} must be at least {least}")
        if not optimism >= 0:
            raise InvalidInput(f"optimism={optimism!r} must be at least 0")
        super().__init__(context)
        self._startup_trials, self._batch = startup_trials, batch
        self._effort = Effort(generations, children, parents, optimism)

    def next_candidate(self, study: Study) -> Candidate:
        """Returns one new candidate."""
        context, step = self._context, self._context.step
        start = self._start_of_batch(step)
        trials = [one for one in study.get_trials(deepcopy=False) if state_of(one) != "interrupted"]
        known = _BATCHES.get(study)
        if known is None or known[0] != start:
            finished = [one for one in trials if one.state.is_finished()]
            known = (start, self._new_batch(study, finished[:start], start))
            _BATCHES[study] = known
        members = known[1]
        seen = {candidate_of(one) for one in trials}
        turn = (step - start) % max(len(members), 1)
        new = next((one for one in [*members[turn:], *members[:turn]] if one not in seen), None)
        if new is None:
            known_candidates = [one for one in seen if one is not None]
            new = unseen_candidate(context, known_candidates, members, np.random.default_rng([context.seed, step, 3]))
        return new

    def _start_of_batch(self, step: int) -> int:
        if step < self._startup_trials:
            return 0
        return step - (step - self._startup_trials) % self._batch

    def _new_batch(self, study: Study, finished: Sequence[FrozenTrial], start: int) -> list[Candidate]:
        """The batch that begins at step `start`, when `finished` are the trials before it."""
        limits, length = self._context.limits, self._batch if start else self._startup_trials
        turns = [limits.targets[(start + place) % len(limits.targets)] for place in range(length)]
        targets = [limits.allowed(target) for target in turns]
        rng = np.random.default_rng([self._context.seed, start, 2])
        rows = [(one, trial) for trial in finished if (one := candidate_of(trial)) is not None]
        complete = [(one, trial) for one, trial in rows if trial.state == TrialState.COMPLETE]
        if not start or len(complete) < 2:
            return startup_design(self._context, targets, rng)
        place = accuracy_place(study)
        accuracies = np.array([trial.values[place] for _, trial in complete], dtype=np.float64)
        observed = Observed([one for one, _ in complete], accuracies, frozenset(one for one, _ in rows))
        return next_batch(self._context, observed, objective_figures(study), targets, self._effort, rng)


def guided(context: SamplerContext, **options: Any) -> BaseSampler:
    """Returns the predictor-guided search; `options` are those of GuidedSampler."""
    return GuidedSampler(context, **options)
