"""A batch of the guided search: evolution by predictions and free figures, then a choice along the predicted front."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search.candidates.limits import meets
from search.candidates.pareto import Floats, best_first, non_dominated
from search.candidates.space import Candidate, CandidateSpace
from search.candidates.trials import SamplerContext
from search.samplers.genome import candidates_of, cross, draw, draw_at_levels, genomes_of, mutate
from search.samplers.quality_model import Pool, QualityModel, fit_quality, pool_of

MUTATION = 0.15  # the largest mutation rate of a child; rates vary below it, so that steps of all lengths occur
DRAWS = 4096  # of points in the box, with more than two objectives

Target = Mapping[str, float]


def gains(points: Floats, observed: Floats, reference: Floats, rng: np.random.Generator) -> Floats:
    """Returns how much hypervolume each of the points (N, D) adds to `observed` (M, D), up to `reference` (D,).

    Lower is better everywhere. Exact for one and two objectives, an estimate from draws of `rng` for more.
    """
    if points.shape[1] == 1:
        best = min([float(reference[0]), *observed[:, 0].tolist()])
        return np.asarray(np.maximum(best - points[:, 0], 0.0))
    if points.shape[1] == 2:
        return _exact_gains(points, observed, reference)
    return _estimated_gains(points, observed, reference, rng)


def _exact_gains(points: Floats, observed: Floats, reference: Floats) -> Floats:
    """The area that each point adds to the staircase of the observed ones."""
    inside = observed[(observed < reference).all(axis=1)]
    front = inside[non_dominated(inside)] if len(inside) else inside
    front = front[np.argsort(front[:, 0], kind="stable")]
    starts = np.concatenate([[-np.inf], front[:, 0]])  # of steps along the first objective
    ends = np.concatenate([front[:, 0], [reference[0]]])
    heights = np.concatenate([[reference[1]], front[:, 1]])
    widths = np.maximum(ends[None, :] - np.maximum(starts[None, :], points[:, :1]), 0.0)
    return np.asarray((widths * np.maximum(heights[None, :] - points[:, 1:], 0.0)).sum(axis=1))


def _estimated_gains(points: Floats, observed: Floats, reference: Floats, rng: np.random.Generator) -> Floats:
    """The share of draws in the box that a point dominates and no observed one does."""
    lowest = np.minimum(points.min(axis=0), reference)
    drawn = lowest + rng.random((DRAWS, points.shape[1])) * (reference - lowest)
    for point in observed:
        drawn = drawn[~(point <= drawn).all(axis=1)]
    return np.asarray((points[:, None, :] <= drawn[None, :, :]).all(axis=2).sum(axis=1) / DRAWS)


@dataclass(frozen=True)
class Effort:
    """The effort spent on a batch: generations, children per generation, and how many of them breed.

    `optimism` is how many standard deviations above the mean a candidate is judged.
    """

    generations: int
    children: int
    parents: int
    optimism: float


@dataclass(frozen=True)
class Observed:
    """The results of a study: candidates with their quality (candidates,), and all that must not be repeated."""

    candidates: Sequence[Candidate]
    qualities: Floats
    seen: Container[Candidate]


def next_batch(
    context: SamplerContext,
    observed: Observed,
    objectives: Sequence[str],
    targets: Sequence[Target],
    effort: Effort,
    rng: np.random.Generator,
) -> list[Candidate]:
    """Returns a new candidate for each of `targets` (what each may cost), or fewer where no more were found.

    `objectives` names the figures that are minimized beside the negative quality; it may be empty.
    """
    evaluated = _pool(context, observed.candidates, context.figures(observed.candidates))
    model = fit_quality(evaluated, observed.qualities, rng)
    distinct = {tuple(sorted(target.items())): target for target in targets}
    judged = list(objectives)
    if len(distinct) > 1:  # each target needs its own best, so limited figures are objectives of the evolution too
        judged += sorted({name for target in targets for name in target} - set(judged))
    pool = _evolve(context, evaluated, model, list(distinct.values()), judged, effort, observed.seen, rng)
    return _choose(pool, evaluated, model, objectives, targets, effort.optimism, rng) if pool else []


def _evolve(
    context: SamplerContext,
    evaluated: Pool,
    model: QualityModel,
    targets: Sequence[Target],
    judged: Sequence[str],
    effort: Effort,
    seen: Container[Candidate],
    rng: np.random.Generator,
) -> Pool | None:
    """The best new candidates that some target allows, by predicted quality and figures; None if there is none."""
    space = context.space
    parents = evaluated.take(
        best_first(_points(evaluated, model, judged, effort.optimism))[: effort.parents]
    ).candidates
    best: Pool | None = None
    genomes = draw_at_levels(space, rng.random(effort.children), rng)
    for _ in range(effort.generations):
        genomes = np.concatenate([genomes, _children(context.space, parents, effort.children, rng)])
        known = set(best.candidates) if best else set()
        drawn = dict.fromkeys(candidates_of(space, genomes))
        children = [child for child in drawn if child not in known and child not in seen]
        genomes = draw(space, effort.children // 10, rng)
        pool = _allowed(context, children, targets)
        if pool is not None:
            best = pool if best is None else best.join(pool)
            points = _points(best, model, judged, effort.optimism)
            best = best.take(_survivors(best, points, targets, 2 * effort.parents))
            parents = best.candidates[: effort.parents]
    return best


def _survivors(pool: Pool, points: Floats, targets: Sequence[Target], count: int) -> list[int]:
    """The indices of the best of a pool, and of the best for each of several targets, which a large front can hide."""
    best_of_targets: list[int] = []
    if len(targets) > 1:
        within = [meets(pool.figures, target) for target in targets]
        best_of_targets = [int(np.argmin(np.where(allowed, points[:, 0], np.inf))) for allowed in within]
    return list(dict.fromkeys([*best_of_targets, *best_first(points)[:count]]))


def _children(space: CandidateSpace, parents: Sequence[Candidate], count: int, rng: np.random.Generator) -> Floats:
    """Genomes (count, genes): half of them crossed, half mutated."""
    genomes = genomes_of(space, parents)
    crossed, mutated = count // 2, count - count // 2
    mothers, fathers, others = (genomes[rng.integers(len(genomes), size=size)] for size in (crossed, crossed, mutated))
    children = [cross(space, mothers, fathers, rng), mutate(space, others, rng.uniform(0, MUTATION, mutated), rng)]
    return np.concatenate(children)


def _allowed(context: SamplerContext, candidates: Sequence[Candidate], targets: Sequence[Target]) -> Pool | None:
    """The pool of the candidates that some target allows; None if there is none."""
    if not candidates:
        return None
    figures = context.figures(candidates)
    indices = np.flatnonzero(np.logical_or.reduce([meets(figures, target) for target in targets]))
    allowed_figures = {name: np.asarray(values)[indices] for name, values in figures.items()}
    return _pool(context, [candidates[int(index)] for index in indices], allowed_figures) if len(indices) else None


def _pool(context: SamplerContext, candidates: Sequence[Candidate], figures: Mapping[str, Floats]) -> Pool:
    """The pool of candidates, with the quality that the context expects of them."""
    expected = None if context.expected is None else context.expected(candidates)
    return pool_of(context.space, candidates, figures, expected, fractions=context.fractions)


def _points(pool: Pool, model: QualityModel, judged: Sequence[str], optimism: float) -> Floats:
    """What is minimized, (candidates, 1 + judged): negative optimistic quality, and figures."""
    mean, deviation = model.predict(pool)
    return np.column_stack(
        [-model.quality(mean + optimism * deviation, pool), *(pool.figures[name] for name in judged)]
    )


def _choose(
    pool: Pool,
    evaluated: Pool,
    model: QualityModel,
    objectives: Sequence[str],
    targets: Sequence[Target],
    optimism: float,
    rng: np.random.Generator,
) -> list[Candidate]:
    """For one target after the other, the candidate that adds most hypervolume within it.

    With several targets every second choice is the best of its own target: hypervolume alone favors cheap candidates.
    A choice makes similar candidates less uncertain, as its evaluation will, so a batch holds no near-duplicates.
    Evaluated candidates count with their predicted quality: a lucky one must not hide the region around it.
    """
    mean, _ = model.predict(pool)
    covariance = model.process.covariance(pool.blocks)
    expected = model.quality(model.predict(evaluated)[0], evaluated)
    several = len({tuple(target.items()) for target in targets}) > 1
    evaluated_points = np.column_stack([-expected, *(evaluated.figures[name] for name in objectives)])
    largest = [max(evaluated.figures[name].max(), pool.figures[name].max()) * (1 + 1e-9) for name in objectives]
    free = np.ones(len(pool.candidates), dtype=np.bool_)
    chosen: list[int] = []
    for target in targets:
        allowed = meets(pool.figures, target)
        if not (free & allowed).any():
            continue
        judged = model.quality(mean + optimism * np.sqrt(np.maximum(np.diag(covariance), 0.0)), pool)
        points = np.column_stack([-judged, *(pool.figures[name] for name in objectives)])
        before = [index for index in chosen if allowed[index]]
        base = np.concatenate([evaluated_points[meets(evaluated.figures, target)], points[before]])
        reference = np.array([-expected.min(), *largest])
        gained = np.where(free & allowed, gains(points, base, reference, rng), -1.0)
        best = int(np.argmax(gained))
        if gained[best] <= 0 or (several and len(chosen) % 2 == 0):
            best = int(np.argmax(np.where(free & allowed, judged, -np.inf)))
        chosen.append(best)
        free[best] = False
        column = covariance[:, best].copy()
        covariance -= np.outer(column, column) / (column[best] + model.process.noise)
    return [pool.candidates[index] for index in chosen]
