"""What peak activation memory is computed from: the sizes that storages have, and which are alive together.

The whole model runs once, and once more for every choice with that choice made smaller: a dimension is a constant plus
a sum of choices times a constant, which two runs determine. Some Archs are run to see that nothing else happens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.memory_moments import Moment, find_moments, largest_moments
from ofa.memory_tape import Tape, record
from ofa.space import Choice, Space
from ofa.structure import private_copy

if TYPE_CHECKING:
    from ofa.supernet import Supernet

_RANDOM_CHECKS = 4


@dataclass(frozen=True)
class Dimension:
    """A constant plus a sum of variables times coefficients: (number of the variable, coefficient)."""

    constant: int
    parts: tuple[tuple[int, int], ...]


# Bytes of a storage: the product of its dimensions, the bytes of an element among them.
Size = tuple[Dimension, ...]


@dataclass(frozen=True)
class Variable:
    """What sizes depend on: the value of a choice, divided by what one unit of it counts."""

    choice: Choice
    each: int
    full: int  # units in the whole model


@dataclass(frozen=True)
class MemoryTerms:
    """Everything that `peak_activation_bytes` needs to know of a supernet."""

    space: Space
    variables: tuple[Variable, ...]
    stages: tuple[str, ...]  # the choice's key
    sizes: tuple[Size, ...]
    moments: tuple[Moment, ...]


def find_memory_terms(supernet: Supernet) -> MemoryTerms:
    """Returns the terms of a supernet's memory; kept by the supernet, since they do not change with its weights.

    Raises:
        InvalidInput: what runs, or how large it is, does not follow from the choices in this form.
    """
    choices = supernet.space.by_key
    stages = [stage for stage in supernet.structure.stages if f"depth.{stage.name}" in choices]
    depths = [range(choices[f"depth.{stage.name}"].values[0], len(stage.blocks) + 1) for stage in stages]
    gates = {
        path: (number, position)
        for number, stage in enumerate(stages)
        for position, path in enumerate(stage.blocks)
        if position >= depths[number][0]
    }
    model = private_copy(supernet.model)
    tape = record(model, supernet.example_input.cpu(), {path: model.get_submodule(path) for path in gates})
    variables = _variables(supernet)
    by_storage = _sizes(supernet, tape, variables)
    kinds = {size: number for number, size in enumerate(dict.fromkeys(by_storage))}
    numbers = [None if Dimension(0, ()) in size else kinds[size] for size in by_storage]
    steps = find_moments(tape, numbers, gates, depths)
    keys = tuple(f"depth.{stage.name}" for stage in stages)
    every = tuple(moment for moments in steps for moment in moments)
    terms = MemoryTerms(supernet.space, variables, keys, tuple(kinds), every)
    for arch in _checked(supernet.space):
        _check(supernet, tape, terms, steps, arch)
    return MemoryTerms(supernet.space, variables, keys, tuple(kinds), tuple(largest_moments(every)))


def _variables(supernet: Supernet) -> tuple[Variable, ...]:
    groups = {f"width.{group.name}": group for group in supernet.groups}
    found = []
    for choice in supernet.space.choices:
        if choice.kind == "width":
            group = groups[choice.key]
            found.append(Variable(choice, group.channels_per_unit, group.units))
        elif choice.kind == "kernel_size":
            found.append(Variable(choice, 1, choice.values[-1]))
    return tuple(found)


def _sizes(supernet: Supernet, tape: Tape, variables: Sequence[Variable]) -> list[Size]:
    """Returns the size of each storage of the tape, in dimensions that depend on the variables."""
    parts: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for number in _that_matter(supernet, tape, variables):
        variable = variables[number]
        less = variable.choice.values[-2]
        step = variable.full - less // variable.each
        arch = supernet.space.arch({variable.choice.key: less})
        for place, (wide, narrow) in enumerate(_changes(supernet, tape, arch)):
            for dim, (before, after) in enumerate(zip(wide, narrow, strict=True)):
                if (before - after) % step:
                    raise _unlike(supernet, arch, f"a size of {before} becomes {after}, which is not in proportion")
                if before != after:
                    parts.setdefault((place, dim), []).append((number, (before - after) // step))
    return [
        tuple(_dimension(full, parts.get((place, dim), []), variables) for dim, full in enumerate(storage.factors))
        for place, storage in enumerate(tape.storages)
    ]


def _dimension(full: int, parts: Sequence[tuple[int, int]], variables: Sequence[Variable]) -> Dimension:
    return Dimension(full - sum(variables[number].full * each for number, each in parts), tuple(parts))


def _that_matter(supernet: Supernet, tape: Tape, variables: Sequence[Variable]) -> list[int]:
    """Returns the numbers of all widths, and of the kernel sizes where any changes anything: same padding does not."""
    kernels = [number for number, variable in enumerate(variables) if variable.choice.kind == "kernel_size"]
    if kernels:
        arch = supernet.space.arch({variables[n].choice.key: variables[n].choice.values[0] for n in kernels})
        if all(wide == narrow for wide, narrow in _changes(supernet, tape, arch)):
            return [number for number in range(len(variables)) if number not in kernels]
    return list(range(len(variables)))


def _changes(supernet: Supernet, tape: Tape, arch: Arch) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Returns the factors of each storage in the whole model and in an Arch of the same depths."""
    narrow = _run(supernet, arch)
    _check_order(supernet, arch, narrow.ops, tape.ops)
    lives = [[(one.birth, one.death, len(one.factors)) for one in run.storages] for run in (tape, narrow)]
    if lives[0] != lives[1]:
        raise _unlike(supernet, arch, "other storages are made, or for longer or shorter than in the whole model")
    return [(wide.factors, small.factors) for wide, small in zip(tape.storages, narrow.storages, strict=True)]


def _run(supernet: Supernet, arch: Arch) -> Tape:
    return record(supernet.extract(arch).cpu(), supernet.example_input.cpu())


def _check(supernet: Supernet, tape: Tape, terms: MemoryTerms, moments: Sequence[Sequence[Moment]], arch: Arch) -> None:
    """Runs an Arch and compares its ops, and the bytes alive in every one of them, with what the terms say."""
    values = arch.values
    depths = [values[key] for key in terms.stages]
    held = [
        (op, moment) for op, cases in zip(tape.ops, moments, strict=True) for moment in cases if moment.holds(depths)
    ]
    run = _run(supernet, arch)
    _check_order(supernet, arch, run.ops, [op for op, _ in held])
    # A width that only dropped blocks have is in nothing that is left.
    units = [values.get(one.choice.key, 0) // one.each for one in terms.variables]
    sizes = [prod(_value(dimension, units) for dimension in size) for size in terms.sizes]
    for (op, moment), real in zip(held, run.bytes_by_step().tolist(), strict=True):
        expected = sum(sizes[number] * count for number, count in moment.counts)
        if expected != real:
            raise _unlike(supernet, arch, f"{op} runs with {real} bytes alive where {expected} were worked out")


def _value(dimension: Dimension, units: Sequence[int]) -> int:
    return dimension.constant + sum(units[number] * each for number, each in dimension.parts)


def _checked(space: Space) -> list[Arch]:
    rng = np.random.default_rng(0)
    return [space.smallest, *(space.sample(rng) for _ in range(_RANDOM_CHECKS))]


def _check_order(supernet: Supernet, arch: Arch, ops: Sequence[str], expected: Sequence[str]) -> None:
    for number, (own, other) in enumerate(zip_longest(ops, expected, fillvalue="nothing")):
        if own != other:
            raise _unlike(supernet, arch, f"op {number} is {own} where the whole model runs {other}")


def _unlike(supernet: Supernet, arch: Arch, what: str) -> InvalidInput:
    whole = supernet.space.largest.values
    given = {key: value for key, value in arch.values.items() if value != whole[key]}
    return InvalidInput(
        f"{type(supernet.model).__name__} has no closed form of its peak memory: with {_listed(given)} {what}; "
        "use measure_peak_activation_bytes on each extracted net"
    )


def _listed(values: Mapping[str, int]) -> str:
    shown = ", ".join(f"{key}={value}" for key, value in list(values.items())[:3])
    return shown + (f" and {len(values) - 3} more" if len(values) > 3 else "")
