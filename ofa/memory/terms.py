"""What peak activation memory is computed from: the sizes that storages have, and which are alive together.

The whole model runs once, and once more for every choice with that choice made smaller: a dimension is a constant plus
a sum of choices times a constant, which two runs determine. Some Archs are run to verify this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import prod

import numpy as np
from torch import nn

from ofa.arch import Arch
from ofa.choice import Choice
from ofa.errors import InvalidInput
from ofa.inputs import Inputs
from ofa.memory.moments import Moment, find_moments, largest_moments
from ofa.memory.tape import Tape, record
from ofa.space import Space
from ofa.structure.materialized import materialized_
from ofa.structure.structure import Structure, private_copy

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
    """What sizes depend on: the value of a choice, divided by the size of one of its units."""

    choice: Choice
    unit_size: int
    full: int  # units in the whole model


@dataclass(frozen=True)
class MemoryTerms:
    """Everything that `peak_activation_bytes` needs to know of a supernet."""

    space: Space
    variables: tuple[Variable, ...]
    stages: tuple[str, ...]  # the choice's key
    sizes: tuple[Size, ...]
    moments: tuple[Moment, ...]


@dataclass(frozen=True)
class Subnets:
    """What is run: the whole model and the extracted net of any Arch of the space, each on one example."""

    model: nn.Module
    example: Inputs
    space: Space
    extract: Callable[[Arch], nn.Module]


def find_memory_terms(structure: Structure, subnets: Subnets) -> MemoryTerms:
    """Returns the terms of a supernet's memory, which do not change with its weights.

    Raises:
        InvalidInput: what runs, or how large it is, does not follow from the choices in this form.
    """
    choices = subnets.space.by_key
    stages = [stage for stage in structure.stages if f"depth.{stage.name}" in choices]
    depths = [range(choices[f"depth.{stage.name}"].values[0], len(stage.blocks) + 1) for stage in stages]
    gates = {
        path: (number, least - 1)
        for number, stage in enumerate(stages)
        for path, least in stage.least_depths.items()
        if least > depths[number][0]
    }
    model = private_copy(subnets.model)
    passing = {path: way for stage in stages for path, way in stage.passing.items() if path in gates}
    tape = record(model, subnets.example.to("cpu"), passing)
    variables = _variables(structure, subnets.space)
    by_storage = _sizes(subnets, tape, variables)
    kinds = {size: number for number, size in enumerate(dict.fromkeys(by_storage))}
    numbers = [None if Dimension(0, ()) in size else kinds[size] for size in by_storage]
    steps = find_moments(tape, numbers, gates, depths)
    keys = tuple(f"depth.{stage.name}" for stage in stages)
    all_moments = tuple(moment for moments in steps for moment in moments)
    terms = MemoryTerms(subnets.space, variables, keys, tuple(kinds), all_moments)
    for arch in _checked(subnets.space):
        _check(subnets, tape, terms, steps, arch)
    return MemoryTerms(subnets.space, variables, keys, tuple(kinds), tuple(largest_moments(all_moments)))


def _variables(structure: Structure, space: Space) -> tuple[Variable, ...]:
    groups = {f"width.{group.name}": group for group in structure.groups}
    variables = []
    for choice in space.choices:
        if choice.kind == "width":
            group = groups[choice.key]
            variables.append(Variable(choice, group.channels_per_unit, group.units))
        elif choice.kind == "kernel_size":
            variables.append(Variable(choice, 1, choice.values[-1]))
    return tuple(variables)


def _sizes(subnets: Subnets, tape: Tape, variables: Sequence[Variable]) -> list[Size]:
    """Returns the size of each storage of the tape, in dimensions that depend on the variables."""
    parts: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for number in _relevant_numbers(subnets, tape, variables):
        variable = variables[number]
        less = variable.choice.values[-2]
        step = variable.full - less // variable.unit_size
        arch = subnets.space.arch({variable.choice.key: less})
        for index, (wide, narrow) in enumerate(_changes(subnets, tape, arch)):
            for dim, (before, after) in enumerate(zip(wide, narrow, strict=True)):
                if (before - after) % step:
                    raise _refusal(subnets, arch, f"a size of {before} becomes {after}, which is not in proportion")
                if before != after:
                    parts.setdefault((index, dim), []).append((number, (before - after) // step))
    return [
        tuple(_dimension(full, parts.get((index, dim), []), variables) for dim, full in enumerate(storage.factors))
        for index, storage in enumerate(tape.storages)
    ]


def _dimension(full: int, parts: Sequence[tuple[int, int]], variables: Sequence[Variable]) -> Dimension:
    return Dimension(full - sum(variables[number].full * coefficient for number, coefficient in parts), tuple(parts))


def _relevant_numbers(subnets: Subnets, tape: Tape, variables: Sequence[Variable]) -> list[int]:
    """Returns the numbers of all widths, and of the kernel sizes where any changes anything: same padding does not."""
    kernels = [number for number, variable in enumerate(variables) if variable.choice.kind == "kernel_size"]
    if kernels:
        arch = subnets.space.arch({variables[n].choice.key: variables[n].choice.values[0] for n in kernels})
        if all(wide == narrow for wide, narrow in _changes(subnets, tape, arch)):
            return [number for number in range(len(variables)) if number not in kernels]
    return list(range(len(variables)))


def _changes(subnets: Subnets, tape: Tape, arch: Arch) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Returns the factors of each storage in the whole model and in an Arch of the same depths."""
    narrow = _run(subnets, arch)
    _check_order(subnets, arch, narrow.ops, tape.ops)
    lives = [
        [(storage.birth, storage.death, len(storage.factors)) for storage in run.storages] for run in (tape, narrow)
    ]
    if lives[0] != lives[1]:
        raise _refusal(subnets, arch, "other storages are made, or for longer or shorter than in the whole model")
    return [(wide.factors, small.factors) for wide, small in zip(tape.storages, narrow.storages, strict=True)]


def _run(subnets: Subnets, arch: Arch) -> Tape:
    return record(materialized_(subnets.extract(arch)), subnets.example.to("cpu"))


def _check(subnets: Subnets, tape: Tape, terms: MemoryTerms, moments: Sequence[Sequence[Moment]], arch: Arch) -> None:
    """Runs an Arch and compares its ops, and the bytes alive in every one of them, with what the terms say."""
    values = arch.values
    depths = [values[key] for key in terms.stages]
    expected_steps = [
        (op, moment) for op, cases in zip(tape.ops, moments, strict=True) for moment in cases if moment.holds(depths)
    ]
    run = _run(subnets, arch)
    _check_order(subnets, arch, run.ops, [op for op, _ in expected_steps])
    # A width that occurs only in dropped blocks does not matter.
    units = [values.get(variable.choice.key, 0) // variable.unit_size for variable in terms.variables]
    sizes = [prod(_value(dimension, units) for dimension in size) for size in terms.sizes]
    for (op, moment), real in zip(expected_steps, run.bytes_by_step().tolist(), strict=True):
        expected = sum(sizes[number] * count for number, count in moment.counts)
        if expected != real:
            raise _refusal(subnets, arch, f"{op} runs with {real} bytes alive where {expected} were computed")


def _value(dimension: Dimension, units: Sequence[int]) -> int:
    return dimension.constant + sum(units[number] * coefficient for number, coefficient in dimension.parts)


def _checked(space: Space) -> list[Arch]:
    rng = np.random.default_rng(0)
    return [space.smallest, *(space.sample(rng) for _ in range(_RANDOM_CHECKS))]


def _check_order(subnets: Subnets, arch: Arch, ops: Sequence[str], expected: Sequence[str]) -> None:
    for number, (op, other) in enumerate(zip_longest(ops, expected, fillvalue="nothing")):
        if op != other:
            raise _refusal(subnets, arch, f"op {number} is {op} where the whole model runs {other}")


def _refusal(subnets: Subnets, arch: Arch, what: str) -> InvalidInput:
    whole = subnets.space.largest.values
    changed = {key: value for key, value in arch.values.items() if value != whole[key]}
    return InvalidInput(
        f"{type(subnets.model).__name__} has no closed form of its peak memory: with {_listed(changed)} {what}; "
        "use measure_peak_activation_bytes on each extracted net"
    )


def _listed(values: Mapping[str, int]) -> str:
    shown = ", ".join(f"{key}={value}" for key, value in list(values.items())[:3])
    return shown + (f" and {len(values) - 3} more" if len(values) > 3 else "")
