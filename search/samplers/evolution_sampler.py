"""The evolution of Once-for-All as an Optuna sampler: it proposes nothing that a limit forbids.

Source: the search of Once-for-All (Cai et al. 2020, 1908.09791; population 100, parents 25 %, mutation 0.1,
half of the children mutated, half crossed), with the ranking of NSGA-II (Deb et al. 2002) where there are
several objectives.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from ofa.errors import InvalidInput
from search.candidates.history import Known, StudyHistory, history_of
from search.candidates.limits import violations
from search.candidates.pareto import best_first, crowding_distances
from search.candidates.space import Candidate
from search.candidates.trials import SamplerContext, figures_of
from search.samplers.candidate_sampler import CandidateSampler, metric_excess

BATCH = 8  # children checked together: free figures are cheap for an array of candidates, not one by one


class EvolutionSampler(CandidateSampler):
    """Children of the best trials so far, all within the limits and new if such a child is found.

    Parents are the best `parents` of a population among all finished trials (Once-for-All keeps its parents
    from generation to generation, which is equivalent). If a study serves several targets they take turns:
    a step breeds from candidates that meet its target and proposes one that meets it, and all share one history.
    The sampler keeps no state: a proposal is a function of the finished trials and (seed, step).
    """

    def __init__(
        self,
        context: SamplerContext,
        *,
        population: int = 100,
        startup_trials: int = 20,
        parents: float = 0.25,
        mutation: float = 0.1,
        mutated: float = 0.5,
        tries: int = 640,
    ) -> None:
        for name, value in {"parents": parents, "mutation": mutation, "mutated": mutated}.items():
            if not 0 <= value <= 1:
                raise InvalidInput(f"{name}={value!r} must be a fraction from 0 to 1")
        if population < 2 or startup_trials < 1 or tries < 1:
            raise InvalidInput(
                f"population={population}, startup_trials={startup_trials}, tries={tries}: must be at least 2, 1 and 1"
            )
        super().__init__(context)
        self._population, self._startup_trials, self._tries = population, startup_trials, tries
        self._parents, self._mutation, self._mutated = parents, mutation, mutated

    def next_candidate(self, study: Study) -> Candidate:
        """Returns one new candidate."""
        rng = np.random.default_rng([self._context.seed, self._context.step])
        history = history_of(study)
        finished = history.complete
        seen = history.fold("complete", _no_candidates, lambda known, _, candidate: known.add(candidate))
        running = set(history.running.values()) if self._context.running else set()
        targets = self._context.limits.targets
        allowed = self._context.limits.allowed(targets[self._context.step % len(targets)])
        parents = self._select(study, history, allowed) if len(finished) >= self._startup_trials else []
        return self._breed(parents, (seen, running), allowed, rng)

    def _select(self, study: Study, history: StudyHistory, allowed: Mapping[str, float]) -> list[Candidate]:
        """The parents, best first: by rank, then by crowding; by the value where there is one objective."""
        most = max(2, round(self._parents * self._population))
        directions = tuple(study.directions)
        key = ("evolution", most, directions, tuple(sorted(allowed.items())))
        best = history.fold(key, lambda: _Best(most, directions, allowed), _Best.add)
        if best.misses:
            return self._select_nearest(study, history.complete, allowed)
        count = max(2, round(self._parents * min(self._population, best.eligible)))
        return best.first(count) if best.eligible else []

    def _select_nearest(self, study: Study, finished: list[Known], allowed: Mapping[str, float]) -> list[Candidate]:
        """The parents where trials miss limits on metrics: where too few keep them, the nearest breed too."""
        eligible = [(trial, candidate) for trial, candidate in finished if _is_within(trial, allowed)]
        excess = [metric_excess(trial) for trial, _ in eligible]
        order = sorted(range(len(eligible)), key=lambda index: excess[index])
        eligible = [eligible[index] for index in order[: max(2, excess.count(0.0))]]
        points = np.array([trial.values for trial, _ in eligible], dtype=np.float64)
        points *= [-1.0 if way == StudyDirection.MAXIMIZE else 1.0 for way in study.directions]
        count = max(2, round(self._parents * min(self._population, len(eligible))))
        return [eligible[index][1] for index in best_first(points)[:count]]

    def _breed(
        self,
        parents: list[Candidate],
        seen: tuple[Container[Candidate], ...],
        allowed: Mapping[str, float],
        rng: np.random.Generator,
    ) -> Candidate:
        """The first child that is allowed and new; else an allowed one; else any, for the study to refuse."""
        repeated: Candidate | None = None
        children: list[Candidate] = []
        for _ in range(0, self._tries, BATCH):
            children = [self._child(parents, rng) for _ in range(BATCH)]
            good = [children[index] for index in np.flatnonzero(self._context.feasible(children, allowed))]
            new = next((child for child in good if not any(child in known for known in seen)), None)
            if new is not None:
                return new
            repeated = repeated or next(iter(good), None)
        return repeated or children[0]

    def _child(self, parents: list[Candidate], rng: np.random.Generator) -> Candidate:
        space = self._context.space
        if not parents:
            return space.sample(rng)
        first = parents[int(rng.integers(len(parents)))]
        if len(parents) == 1 or rng.random() < self._mutated:
            return space.mutate(first, rng, self._mutation)
        return space.crossover(first, parents[int(rng.integers(len(parents)))], rng)


class _Best:
    """The trials within a target that fewer than `most` of them dominate: no other is among the first `most`.

    A trial comes after all that dominate it, and what dominates one that was left out dominates what that does: the
    order of the first `most` is that of all trials, and adding one costs the same after many.
    """

    def __init__(self, most: int, directions: Sequence[StudyDirection], allowed: Mapping[str, float]) -> None:
        self._most, self._allowed = most, allowed
        self._signs = np.array([-1.0 if way == StudyDirection.MAXIMIZE else 1.0 for way in directions])
        self._points = np.zeros((0, len(directions)))
        self._above = np.zeros(0, dtype=np.int64)  # how many dominate each
        self._candidates: list[Candidate] = []
        self.eligible = 0
        self.misses = False  # whether one misses a limit on a metric

    def add(self, trial: FrozenTrial, candidate: Candidate) -> None:
        """Takes in a trial."""
        if not _is_within(trial, self._allowed):
            return
        self.eligible += 1
        self.misses = self.misses or metric_excess(trial) > 0
        point = self._signs * trial.values
        self._above += (point <= self._points).all(axis=1) & (point < self._points).any(axis=1)
        above = int(((self._points <= point).all(axis=1) & (self._points < point).any(axis=1)).sum())
        points, counts = np.concatenate([self._points, point[None]]), np.append(self._above, above)
        best = counts < self._most
        self._candidates.append(candidate)
        for index in np.flatnonzero(~best)[::-1]:
            del self._candidates[index]
        self._points, self._above = points[best], counts[best]

    def first(self, count: int) -> list[Candidate]:
        """Returns the first `count` candidates, best first."""
        front = np.flatnonzero(self._above == 0)
        if len(front) >= count:  # of one rank
            order = front[np.argsort(-crowding_distances(self._points[front]), kind="stable")]
        else:
            order = np.array(best_first(self._points))
        return [self._candidates[index] for index in order[:count]]


def _is_within(trial: FrozenTrial, allowed: Mapping[str, float]) -> bool:
    return all(excess <= 0 for excess in violations(figures_of(trial), allowed).values())


def _no_candidates() -> set[Candidate]:
    return set()


def evolution(context: SamplerContext, **options: Any) -> EvolutionSampler:
    """Returns the evolution of Once-for-All; `options` are those of EvolutionSampler."""
    return EvolutionSampler(context, **options)
