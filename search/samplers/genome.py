"""Genomes: candidates as rows of numbers, so that a sampler breeds thousands of them by the array.

A gene is the index of a choice's value, the index of an option, or the place of a number on its scale (0 to 1); it is
NaN where it does not count. What does not count in a child is dropped when it becomes a Candidate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ofa.arch import KINDS, Arch
from search.candidate import Candidate, Setting
from search.candidate_space import CandidateSpace
from search.parameters import Number, is_active

Floats = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

STEP = 0.1  # of a mutated number, a fraction of its scale
FAR = 0.3  # the share of mutated numbers that go anywhere on it
SETTINGS = 1.0  # how many settings of a child are changed on average, at least


def genomes_of(space: CandidateSpace, candidates: Sequence[Candidate]) -> Floats:
    """Returns a float64 array (candidates, genes): the choices in the order of the space, then the parameters."""
    places = [{value: place for place, value in enumerate(choice.values)} for choice in space.archs.choices]
    keys = [choice.key for choice in space.archs.choices]
    rows = []
    for candidate in candidates:
        arch, settings = candidate.arch.values, candidate.values
        row = [known.get(arch.get(key, -1), np.nan) for key, known in zip(keys, places, strict=True)]
        for parameter in space.parameters:
            value = settings.get(parameter.name)
            if value is None:
                row.append(np.nan)
            elif isinstance(parameter, Number):
                row.append(parameter.encode(value)[0])
            else:
                row.append(parameter.values.index(value))
        rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(keys) + len(space.parameters))


def candidates_of(space: CandidateSpace, genomes: Floats) -> list[Candidate]:
    """Returns the canonical candidates of genomes without NaN (candidates, genes)."""
    choices = space.archs.choices
    genes = genomes[:, : len(choices)].astype(np.int64)
    active = _active(space, genes)
    made = []
    for row, counts, settings in zip(genes.tolist(), active.tolist(), genomes[:, len(choices) :], strict=True):
        kinds: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}
        for choice, gene, is_counted in zip(choices, row, counts, strict=True):
            if is_counted:
                kinds[choice.kind][choice.name] = choice.values[gene]
        made.append(Candidate(Arch(**kinds), _settings(space, settings)))
    return made


def draw(space: CandidateSpace, count: int, rng: np.random.Generator) -> Floats:
    """Returns genomes (count, genes) drawn uniformly."""
    sizes = gene_sizes(space)
    drawn = rng.random((count, len(sizes)))
    return np.where(sizes > 0, np.floor(drawn * sizes), drawn)


def draw_at_levels(space: CandidateSpace, levels: Floats, rng: np.random.Generator) -> Floats:
    """Returns genomes (levels, genes) whose values lie around a level from 0 (all least) to 1 (all largest).

    A gene comes from the triangular distribution whose peak is the level, so that every value stays possible; settings
    are drawn uniformly, since they have no size.
    """
    sizes = gene_sizes(space)
    peaks = np.clip(levels, 0, 1)[:, None] * np.ones(len(sizes))
    places = rng.triangular(0.0, peaks, 1.0)
    places[:, len(space.archs.choices) :] = rng.random((len(levels), len(space.parameters)))
    return np.where(sizes > 0, np.minimum(np.floor(places * sizes), sizes - 1), places)


def mutate(space: CandidateSpace, parents: Floats, rates: Floats, rng: np.random.Generator) -> Floats:
    """Returns a child (children, genes) of each parent, every gene redrawn with the probability `rates` (children,).

    At least one gene is redrawn; of settings one on average, at least. A number moves near by, or anywhere; what does
    not count in the parent is drawn anew.
    """
    sizes, fresh = gene_sizes(space), draw(space, len(parents), rng)
    each, own = np.repeat(rates[:, None], parents.shape[1], axis=1), len(space.archs.choices)
    if space.parameters:  # few beside the choices, and they must not be left as they are for that
        each[:, own:] = np.maximum(each[:, own:], SETTINGS / len(space.parameters))
    change = rng.random(parents.shape) < each
    loose = np.flatnonzero((sizes == 0) | (sizes > 1))  # genes with more than one value
    if len(loose) and len(parents):
        change[np.arange(len(parents)), loose[rng.integers(len(loose), size=len(parents))]] = True
    others = (np.nan_to_num(parents) + 1 + np.floor(rng.random(parents.shape) * (sizes - 1))) % np.maximum(sizes, 1)
    near = np.clip(parents + rng.normal(0, STEP, parents.shape), 0, 1)
    if space.parameters:
        near = np.where(rng.random(parents.shape) < FAR, rng.random(parents.shape), near)
    children = np.where(change, np.where(sizes > 0, others, near), parents)
    return np.where(np.isnan(children), fresh, children)


def cross(space: CandidateSpace, mothers: Floats, fathers: Floats, rng: np.random.Generator) -> Floats:
    """Returns children (pairs, genes) that take each gene from either parent, anew where neither has it."""
    pick = rng.random(mothers.shape) < 0.5
    first, second = np.where(pick, mothers, fathers), np.where(pick, fathers, mothers)
    children = np.where(np.isnan(first), second, first)
    return np.where(np.isnan(children), draw(space, len(mothers), rng), children)


def gene_sizes(space: CandidateSpace) -> Floats:
    """Returns how many values each gene has, (genes,); 0 for a number on a scale."""
    sizes = [len(choice.values) for choice in space.archs.choices]
    sizes += [0 if isinstance(one, Number) else len(one.values) for one in space.parameters]
    return np.array(sizes, dtype=np.float64)


def _active(space: CandidateSpace, genes: np.ndarray[Any, np.dtype[np.int64]]) -> Bools:
    """Whether each choice counts, (candidates, choices): depths come before what depends on them."""
    places = {choice.key: place for place, choice in enumerate(space.archs.choices)}
    active = np.ones(genes.shape, dtype=np.bool_)
    values = np.zeros(genes.shape, dtype=np.int64)  # 0 where the choice does not count
    for place, choice in enumerate(space.archs.choices):
        if choice.active_when != ((),):
            some = np.zeros(len(genes), dtype=np.bool_)
            for every in choice.active_when:
                some |= np.logical_and.reduce(
                    [np.ones(len(genes), dtype=np.bool_), *(values[:, places[key]] >= least for key, least in every)]
                )
            active[:, place] = some
        values[:, place] = np.where(active[:, place], np.array(choice.values)[genes[:, place]], 0)
    return active


def _settings(space: CandidateSpace, genes: Floats) -> tuple[tuple[str, Setting], ...]:
    taken: dict[str, Setting] = {}
    for parameter, gene in zip(space.parameters, genes.tolist(), strict=True):
        if is_active(parameter, taken):
            taken[parameter.name] = parameter.at(gene) if isinstance(parameter, Number) else parameter.values[int(gene)]
    return tuple(taken.items())
