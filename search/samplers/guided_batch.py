"""A batch of the guided search: an evolution over what is free, then a choice spread over the predicted front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search.candidate import Candidate
from search.candidate_space import CandidateSpace
from search.limits import meets
from search.pareto import Floats, best_first
from search.samplers.accuracy_model import AccuracyModel, Pool, fit_accuracy, pool_of
from search.samplers.context import SamplerContext
from search.samplers.genome import candidates_of, cross, draw, draw_at_levels, genomes_of, mutate
from search.samplers.spread import gains

MUTATION = 0.15  # the most that a child's genes are redrawn with, so that steps of all lengths are made
Target = Mapping[str, float]


@dataclass(frozen=True)
class Effort:
    """How much is looked at for a batch: the children of a generation, how many breed, and for how long.

    `optimism` is how many standard deviations above the mean a candidate is judged.
    """

    generations: int
    children: int
    parents: int
    optimism: float


@dataclass(frozen=True)
class Observed:
    """What a study has found out: candidates with their accuracy (candidates,), and all that must not come again."""

    candidates: Sequence[Candidate]
    accuracies: Floats
    seen: frozenset[Candidate]


def next_batch(
    context: SamplerContext,
    observed: Observed,
    objectives: Sequence[str],
    targets: Sequence[Target],
    effort: Effort,
    rng: np.random.Generator,
) -> list[Candidate]:
    """Returns a new candidate for each of `targets` (what each may cost), or fewer where no more were found.

    `objectives` names the figures that are minimised beside accuracy; it may be empty.
    """
    known = _pool(context, observed.candidates, context.figures(observed.candidates))
    model = fit_accuracy(known, observed.accuracies, rng)
    distinct = {tuple(sorted(target.items())): target for target in targets}
    judged = list(objectives)
    if len(distinct) > 1:  # each target needs its own best: what they limit is an objective of the evolution too
        judged += sorted({name for target in targets for name in target} - set(judged))
    found = _evolve(context, known, model, list(distinct.values()), judged, effort, observed.seen, rng)
    return _choose(found, known, model, objectives, targets, effort.optimism, rng) if found else []


def _evolve(
    context: SamplerContext,
    known: Pool,
    model: AccuracyModel,
    targets: Sequence[Target],
    judged: Sequence[str],
    effort: Effort,
    seen: frozenset[Candidate],
    rng: np.random.Generator,
) -> Pool | None:
    """The best new candidates that some target allows, by predicted accuracy and figures; None where there is none."""
    space = context.space
    parents = known.take(best_first(_points(known, model, judged, effort.optimism))[: effort.parents]).candidates
    best: Pool | None = None
    genomes = draw_at_levels(space, rng.random(effort.children), rng)
    for _ in range(effort.generations):
        genomes = np.concatenate([genomes, _children(context.space, parents, effort.children, rng)])
        passed = seen.union(best.candidates) if best else seen
        children = [one for one in dict.fromkeys(candidates_of(space, genomes)) if one not in passed]
        genomes = draw(space, effort.children // 10, rng)
        pool = _allowed(context, children, targets)
        if pool is not None:
            best = pool if best is None else best.join(pool)
            points = _points(best, model, judged, effort.optimism)
            best = best.take(_survivors(best, points, targets, 2 * effort.parents))
            parents = best.candidates[: effort.parents]
    return best


def _survivors(pool: Pool, points: Floats, targets: Sequence[Target], count: int) -> list[int]:
    """The places of the best of a pool, and of the best for each of several targets, which a large front hides."""
    own: list[int] = []
    if len(targets) > 1:
        within = [meets(pool.figures, target) for target in targets]
        own = [int(np.argmin(np.where(one, points[:, 0], np.inf))) for one in within]
    return list(dict.fromkeys([*own, *best_first(points)[:count]]))


def _children(space: CandidateSpace, parents: Sequence[Candidate], count: int, rng: np.random.Generator) -> Floats:
    """Genomes (count, genes): half of them crossed, half mutated."""
    genomes = genomes_of(space, parents)
    crossed, mutated = count // 2, count - count // 2
    mothers, fathers, others = (genomes[rng.integers(len(genomes), size=size)] for size in (crossed, crossed, mutated))
    children = [cross(space, mothers, fathers, rng), mutate(space, others, rng.uniform(0, MUTATION, mutated), rng)]
    return np.concatenate(children)


def _allowed(context: SamplerContext, candidates: Sequence[Candidate], targets: Sequence[Target]) -> Pool | None:
    """The pool of those that some target allows."""
    if not candidates:
        return None
    figures = context.figures(candidates)
    kept = np.flatnonzero(np.logical_or.reduce([meets(figures, target) for target in targets]))
    known = {name: np.asarray(values)[kept] for name, values in figures.items()}
    return _pool(context, [candidates[int(place)] for place in kept], known) if len(kept) else None


def _pool(context: SamplerContext, candidates: Sequence[Candidate], figures: Mapping[str, Floats]) -> Pool:
    """The pool of candidates, with the accuracy that the context expects of them."""
    expected = None if context.expected is None else context.expected(candidates)
    return pool_of(context.space, candidates, figures, expected)


def _points(pool: Pool, model: AccuracyModel, judged: Sequence[str], optimism: float) -> Floats:
    """What is minimised, (candidates, 1 + judged): optimistic accuracy below 0, and figures."""
    mean, deviation = model.predict(pool)
    return np.column_stack(
        [-model.accuracy(mean + optimism * deviation, pool), *(pool.figures[name] for name in judged)]
    )


def _choose(
    pool: Pool,
    known: Pool,
    model: AccuracyModel,
    objectives: Sequence[str],
    targets: Sequence[Target],
    optimism: float,
    rng: np.random.Generator,
) -> list[Candidate]:
    """One after the other, what adds most hypervolume within its target.

    Where there are several targets every second choice is what is best for its own: hypervolume alone draws a batch to
    what is cheap. A choice makes what is like it less uncertain, as its evaluation will, so that a batch is no heap of
    near copies. What was evaluated counts with its predicted accuracy: a lucky one must not hide the region around it.
    """
    mean, _ = model.predict(pool)
    covariance = model.process.covariance(pool.blocks)
    expected = model.accuracy(model.predict(known)[0], known)
    several = len({tuple(target.items()) for target in targets}) > 1
    known_points = np.column_stack([-expected, *(known.figures[name] for name in objectives)])
    largest = [max(known.figures[name].max(), pool.figures[name].max()) * (1 + 1e-9) for name in objectives]
    free = np.ones(len(pool.candidates), dtype=np.bool_)
    chosen: list[int] = []
    for target in targets:
        allowed = meets(pool.figures, target)
        if not (free & allowed).any():
            continue
        judged = model.accuracy(mean + optimism * np.sqrt(np.maximum(np.diag(covariance), 0.0)), pool)
        points = np.column_stack([-judged, *(pool.figures[name] for name in objectives)])
        before = [place for place in chosen if allowed[place]]
        base = np.concatenate([known_points[meets(known.figures, target)], points[before]])
        reference = np.array([-expected.min(), *largest])
        gained = np.where(free & allowed, gains(points, base, reference, rng), -1.0)
        best = int(np.argmax(gained))
        if gained[best] <= 0 or (several and len(chosen) % 2 == 0):
            best = int(np.argmax(np.where(free & allowed, judged, -np.inf)))
        chosen.append(best)
        free[best] = False
        column = covariance[:, best].copy()
        covariance -= np.outer(column, column) / (column[best] + model.process.noise)
    return [pool.candidates[place] for place in chosen]
