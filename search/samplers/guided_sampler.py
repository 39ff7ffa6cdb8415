"""Predictor-guided search as an Optuna sampler: quality is predicted, figures are free, limits always hold.

Quality is the metric with a sign, so that more is better. A Gaussian process learns it from the finished trials; an
evolution over thousands of candidates, whose figures cost nothing, finds the predicted front within the limits; a batch
spread over it is evaluated next. Related: BRP-NAS (Dudziak et al. 2020, 2007.08668) and BANANAS (White et al. 2021,
1910.11858), which also search by a learned accuracy; the choice of a batch by hypervolume is that of Emmerich et al.
2006 with an optimistic mean in place of a draw.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from optuna.study import Study

from ofa.errors import InvalidInput
from search.candidates.history import StudyHistory, history_of
from search.candidates.limits import Bools, meets
from search.candidates.pareto import Floats, Integers
from search.candidates.space import Candidate, CandidateSpace
from search.candidates.trials import SamplerContext, figures_of
from search.samplers.candidate_sampler import CandidateSampler, objective_figures, qualities_of, unseen_candidate
from search.samplers.genome import candidates_of, draw_at_levels, genomes_of, mutate
from search.samplers.guided_batch import Effort, Observed, next_batch

DRAWS = 1024
MOST = 1000  # trials that a batch learns from: a fit to more takes long, and says little more
SIZES = 50  # parts of the trials by size, of which the best are learned from
NEAREST = 32  # candidates in size, of which the one least like those chosen before is taken


def startup_design(
    context: SamplerContext, targets: Sequence[Mapping[str, float]], rng: np.random.Generator
) -> list[Candidate]:
    """Returns a candidate for each of `targets` (what each may cost), or fewer if no more were found.

    Sizes are spread evenly over what a target allows, by the logarithm of the first figure that it limits (of the
    first figure if it limits none); among the nearest to a size, the one farthest from all before in features.
    """
    drawn = _allowed(context, targets, rng)
    figures, features = context.figures(drawn), context.space.features(drawn)
    allowed = {id(target): meets(figures, target) for target in targets}
    far = np.full(len(drawn), np.inf)  # squared distance to the nearest chosen candidate
    free = np.ones(len(drawn), dtype=np.bool_)
    chosen: list[int] = []
    for position in rng.permutation(len(targets)):
        target = targets[position]
        eligible = np.flatnonzero(allowed[id(target)] & free)
        if not len(eligible):
            continue
        size = np.log(np.maximum(np.asarray(figures[next(iter(target), next(iter(figures)))]), 1e-12))
        within = size[allowed[id(target)]]
        desired = within.min() + (within.max() - within.min()) * (position + 0.5) / len(targets)
        near = eligible[
            np.argsort(np.abs(size[eligible] - desired), kind="stable")[: max(1, min(NEAREST, len(eligible) // 4))]
        ]
        best = int(near[np.argmax(far[near])])
        chosen.append(best)
        free[best] = False
        far = np.minimum(far, np.square(features - features[best]).sum(axis=1))
    return [drawn[index] for index in chosen]


def _allowed(
    context: SamplerContext, targets: Sequence[Mapping[str, float]], rng: np.random.Generator
) -> list[Candidate]:
    """Candidates of every size; where few of them are allowed, more around the smallest."""
    space = context.space
    drawn = _distinct(space, draw_at_levels(space, rng.random(DRAWS), rng))
    masks: list[Bools] = [meets(context.figures(drawn), target) for target in targets]
    if min(int(mask.sum()) for mask in masks) < 4 * len(targets):
        smallest = genomes_of(space, [space.smallest] * DRAWS)
        drawn += _distinct(space, mutate(space, smallest, rng.uniform(0, 0.5, DRAWS), rng))
    return list(dict.fromkeys(drawn))


def _distinct(space: CandidateSpace, genomes: Floats) -> list[Candidate]:
    return list(dict.fromkeys(candidates_of(space, genomes)))


# The current batch of each study and the step that it began with: a cache, recomputed with the same result.
_BATCHES: WeakKeyDictionary[Study, tuple[int, list[Candidate]]] = WeakKeyDictionary()


class GuidedSampler(CandidateSampler):
    """Batches of candidates whose predicted quality is best for what they cost, all within the limits and new.

    The first `startup_trials` steps are a design spread over all sizes; then come batches of `batch` steps. A batch is
    a function of the trials that were finished when it began, the seed and the step. Targets take turns in it.

    Args:
        context: the search that it proposes for.
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
        start, history = self._start_of_batch(step), history_of(study)
        batch = _BATCHES.get(study)
        if batch is None or batch[0] != start:
            batch = (start, self._new_batch(study, history, start))
            _BATCHES[study] = batch
        members, seen = batch[1], history.proposed
        turn = (step - start) % max(len(members), 1)
        new = next((member for member in [*members[turn:], *members[:turn]] if member not in seen), None)
        if new is None:
            new = unseen_candidate(context, seen, members, np.random.default_rng([context.seed, step, 3]))
        return new

    @property
    def _length(self) -> int:
        """The steps of a batch: one for each evaluator at least."""
        return max(self._batch, self._context.evaluators)

    def _start_of_batch(self, step: int) -> int:
        if step < self._startup_trials:
            return 0
        return step - (step - self._startup_trials) % self._length

    def _new_batch(self, study: Study, history: StudyHistory, start: int) -> list[Candidate]:
        """The batch that begins at step `start`, from the first `start` trials that finished."""
        limits, length = self._context.limits, self._length if start else self._startup_trials
        turns = [limits.targets[(start + position) % len(limits.targets)] for position in range(length)]
        targets = [limits.allowed(target) for target in turns]
        rng = np.random.default_rng([self._context.seed, start, 2])
        complete = history.complete[
            : bisect_left(history.complete, float(start), key=lambda entry: history.proposed[entry[1]])
        ]
        if not start or len(complete) < 2:
            return startup_design(self._context, targets, rng)
        qualities = qualities_of(study, [trial for trial, _ in complete])
        candidates = [candidate for _, candidate in complete]
        if len(complete) > MOST:
            name = next(iter(targets[0]), next(iter(figures_of(complete[0][0]))))
            sizes = np.array([float(trial.user_attrs[name]) for trial, _ in complete])
            chosen = learned_from(sizes, qualities, np.random.default_rng([self._context.seed, start, 4]))
            candidates, qualities = [candidates[index] for index in chosen], qualities[chosen]
        seen = history.before(start)
        if self._context.running:  # a constant liar: what is being evaluated counts as average, so others are tried
            running = list(history.running.values())
            candidates, seen = candidates + running, history.proposed
            qualities = np.append(qualities, np.full(len(running), qualities.mean()))
        observed = Observed(candidates, qualities, seen)
        return next_batch(self._context, observed, objective_figures(study), targets, self._effort, rng)


def learned_from(sizes: Floats, qualities: Floats, rng: np.random.Generator) -> Integers:
    """Returns the indices of `MOST` trials, ascending: half the best of every size, the others drawn from the rest."""
    share = MOST // 2 // SIZES
    parts = np.array_split(np.argsort(sizes, kind="stable"), SIZES)
    best = np.concatenate([part[np.argsort(-qualities[part], kind="stable")[:share]] for part in parts])
    rest = np.setdiff1d(np.arange(len(sizes)), best)
    return np.sort(np.concatenate([best, rng.choice(rest, MOST - len(best), replace=False)]))


def guided(context: SamplerContext, **options: Any) -> GuidedSampler:
    """Returns the predictor-guided search; `options` are those of GuidedSampler."""
    return GuidedSampler(context, **options)
