"""Genomes: candidates as rows of numbers, so that a sampler breeds thousands of them at once.

A gene is the index of a choice's value, the index of an option, or the position of a number on its scale (0 to 1); it
is NaN where it is inactive. Inactive genes of a child are dropped when it becomes a Candidate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np

from ofa.arch import KINDS, Arch
from ofa.choice import Choice, holds
from search.candidates.parameters import Number, Parameter, is_active
from search.candidates.space import Candidate, CandidateSpace
from search.run.cards import Setting

STEPS = 9  # values that stand for a number where a few discrete ones are needed
STEP = 0.1  # standard deviation of a mutated number, as a fraction of its scale
FAR = 0.3  # the share of mutated numbers that are redrawn from the whole scale
SETTINGS = 1.0  # the least number of settings of a child that change on average
# What learned samplers see of a gene; other kinds are none of these, so that searches without them stay as they were.
GENE_KINDS = ("width", "depth", "kernel_size", "option", "number")

Floats = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Gene:
    """The decision of one column of a genome."""

    column: int
    of: Choice | Parameter

    @property
    def key(self) -> str:
        """The name of the decision in a candidate."""
        return self.of.key if isinstance(self.of, Choice) else self.of.name

    @property
    def kind(self) -> str:
        """One of `GENE_KINDS`, "operator" or "resolution"."""
        if isinstance(self.of, Choice):
            return self.of.kind
        return "number" if isinstance(self.of, Number) else "option"

    @property
    def values(self) -> list[float]:
        """All values, ascending; `STEPS` of them for a number."""
        if isinstance(self.of, Number):
            return [step / (STEPS - 1) for step in range(STEPS)]
        return [float(number) for number in range(len(self.of.values))]

    @property
    def is_open(self) -> bool:
        """Whether there is more than one value."""
        return isinstance(self.of, Number) or len(self.of.values) > 1

    def position(self, value: float) -> float:
        """Returns the position of a value from 0 to 1: the middle of its share, or a number itself."""
        return value if isinstance(self.of, Number) else (value + 0.5) / len(self.of.values)

    def setting(self, value: float) -> Setting:
        """Returns the value in the form that a candidate holds."""
        return self.of.at(value) if isinstance(self.of, Number) else self.of.values[int(value)]

    def counts(self, decided: Mapping[str, Setting]) -> bool:
        """Returns whether the gene is active, given the values decided by earlier active genes, by key."""
        if isinstance(self.of, Choice):
            return self.of.is_active({key: value for key, value in decided.items() if isinstance(value, int)})
        return is_active(self.of, decided)

    def nearest_first(self, position: float) -> list[float]:
        """Returns the values by distance from a position, nearest first; a number's own position comes before them."""
        exact = [position] if isinstance(self.of, Number) else []
        return list(
            dict.fromkeys([*exact, *sorted(self.values, key=lambda value: abs(self.position(value) - position))])
        )


def genes_of(space: CandidateSpace) -> tuple[Gene, ...]:
    """Returns the genes of a space, one per column, depths before what depends on them."""
    return tuple(Gene(column, decision) for column, decision in enumerate((*space.archs.choices, *space.parameters)))


def genomes_of(space: CandidateSpace, candidates: Sequence[Candidate]) -> Floats:
    """Returns a float64 array (candidates, genes): the choices in the order of the space, then the parameters."""
    codes = space.archs.encode([candidate.arch for candidate in candidates], inactive=-1)
    matches = codes[:, :, None] == space.table
    choices = np.where(matches.any(axis=2), matches.argmax(axis=2), np.nan)
    settings = [
        _gene_of(parameter, each.values.get(parameter.name)) for each in candidates for parameter in space.parameters
    ]
    return np.column_stack([choices, np.reshape(settings, (len(candidates), len(space.parameters)))])


def codes_of(space: CandidateSpace, genomes: Floats) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Returns the values of the choices of genomes (genomes, choices) as `Space.encode` does, 0 where inactive."""
    genes = genomes[:, : len(space.archs.choices)]
    values = space.table[np.arange(genes.shape[1]), np.nan_to_num(genes).astype(np.int64)]
    return np.asarray(np.where(np.isnan(genes), 0, values))


def _gene_of(parameter: Parameter, value: Setting | None) -> float:
    """The gene of a setting, NaN where it is inactive."""
    if value is None:
        return float("nan")
    return parameter.encode(value)[0] if isinstance(parameter, Number) else parameter.values.index(value)


def candidates_of(space: CandidateSpace, genomes: Floats) -> list[Candidate]:
    """Returns the canonical candidates of genomes without NaN (candidates, genes)."""
    choices = space.archs.choices
    genes = genomes[:, : len(choices)].astype(np.int64)
    active = _active(space, genes)
    values = codes_of(space, genomes)
    archs: list[dict[str, dict[str, int]]] = [{} for _ in genomes]
    for kind in KINDS:
        columns = sorted((choice.name, column) for column, choice in enumerate(choices) if choice.kind == kind)
        names, order = [name for name, _ in columns], [column for _, column in columns]
        for arch, row, counts in zip(archs, values[:, order].tolist(), active[:, order].tolist(), strict=True):
            arch[kind] = dict(compress(zip(names, row, strict=True), counts))
    settings = (_settings(space, row) for row in genomes[:, len(choices) :])
    return [Candidate(Arch(**arch), row) for arch, row in zip(archs, settings, strict=True)]


def draw(space: CandidateSpace, count: int, rng: np.random.Generator) -> Floats:
    """Returns genomes (count, genes) drawn uniformly."""
    sizes = gene_sizes(space)
    drawn = rng.random((count, len(sizes)))
    return np.where(sizes > 0, np.floor(drawn * sizes), drawn)


def draw_at_levels(space: CandidateSpace, levels: Floats, rng: np.random.Generator) -> Floats:
    """Returns genomes (levels, genes) whose values lie around a level from 0 (all smallest) to 1 (all largest).

    A gene comes from the triangular distribution whose peak is the level, so that every value stays possible; settings
    are drawn uniformly, since they have no size.
    """
    sizes = gene_sizes(space)
    peaks = np.clip(levels, 0, 1)[:, None] * np.ones(len(sizes))
    positions = rng.triangular(0.0, peaks, 1.0)
    positions[:, len(space.archs.choices) :] = rng.random((len(levels), len(space.parameters)))
    return np.where(sizes > 0, np.minimum(np.floor(positions * sizes), sizes - 1), positions)


def mutate(space: CandidateSpace, parents: Floats, rates: Floats, rng: np.random.Generator) -> Floats:
    """Returns a child (children, genes) of each parent, every gene redrawn with the probability `rates` (children,).

    At least one gene is redrawn, and on average at least one setting. A number moves nearby or anywhere; genes that are
    inactive in the parent are drawn uniformly.
    """
    sizes, fresh = gene_sizes(space), draw(space, len(parents), rng)
    probabilities, choices = np.repeat(rates[:, None], parents.shape[1], axis=1), len(space.archs.choices)
    if space.parameters:  # few beside the choices, so the rate alone would rarely change them
        probabilities[:, choices:] = np.maximum(probabilities[:, choices:], SETTINGS / len(space.parameters))
    change = rng.random(parents.shape) < probabilities
    variable = np.flatnonzero((sizes == 0) | (sizes > 1))  # genes with more than one value
    if len(variable) and len(parents):
        change[np.arange(len(parents)), variable[rng.integers(len(variable), size=len(parents))]] = True
    others = (np.nan_to_num(parents) + 1 + np.floor(rng.random(parents.shape) * (sizes - 1))) % np.maximum(sizes, 1)
    near = np.clip(parents + rng.normal(0, STEP, parents.shape), 0, 1)
    if space.parameters:
        near = np.where(rng.random(parents.shape) < FAR, rng.random(parents.shape), near)
    children = np.where(change, np.where(sizes > 0, others, near), parents)
    return np.where(np.isnan(children), fresh, children)


def cross(space: CandidateSpace, mothers: Floats, fathers: Floats, rng: np.random.Generator) -> Floats:
    """Returns children (pairs, genes) with each gene from either parent, or newly drawn if inactive in both."""
    pick = rng.random(mothers.shape) < 0.5
    first, second = np.where(pick, mothers, fathers), np.where(pick, fathers, mothers)
    children = np.where(np.isnan(first), second, first)
    return np.where(np.isnan(children), draw(space, len(mothers), rng), children)


def gene_sizes(space: CandidateSpace) -> Floats:
    """Returns how many values each gene has, (genes,); 0 for a number on a scale."""
    sizes = [len(choice.values) for choice in space.archs.choices]
    sizes += [0 if isinstance(parameter, Number) else len(parameter.values) for parameter in space.parameters]
    return np.array(sizes, dtype=np.float64)


def _active(space: CandidateSpace, genes: np.ndarray[Any, np.dtype[np.int64]]) -> Bools:
    """Whether each choice is active, (candidates, choices); depths come before what depends on them."""
    columns = {choice.key: column for column, choice in enumerate(space.archs.choices)}
    active = np.ones(genes.shape, dtype=np.bool_)
    values = np.zeros(genes.shape, dtype=np.int64)  # 0 where the choice is inactive
    for column, choice in enumerate(space.archs.choices):
        if choice.active_when != ((),):
            some = np.zeros(len(genes), dtype=np.bool_)
            for every in choice.active_when:
                some |= np.logical_and.reduce(
                    [
                        np.ones(len(genes), dtype=np.bool_),
                        *(holds(key, values[:, columns[key]], least) for key, least in every),
                    ]
                )
            active[:, column] = some
        values[:, column] = np.where(active[:, column], np.array(choice.values)[genes[:, column]], 0)
    return active


def _settings(space: CandidateSpace, genes: Floats) -> tuple[tuple[str, Setting], ...]:
    settings: dict[str, Setting] = {}
    for parameter, gene in zip(space.parameters, genes.tolist(), strict=True):
        if is_active(parameter, settings):
            settings[parameter.name] = (
                parameter.at(gene) if isinstance(parameter, Number) else parameter.values[int(gene)]
            )
    return tuple(settings.items())
