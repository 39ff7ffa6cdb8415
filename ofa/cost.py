"""Cost of many Archs at once, in closed form: every size is a sum of widths, every count a product of sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ofa.arch import Arch
from ofa.plan import Axis
from ofa.space import Conditions, Space

if TYPE_CHECKING:
    from ofa.supernet import Supernet

Counts = np.ndarray[Any, np.dtype[np.int64]]

COSTS = ("macs", "params", "bytes", "activations", "layers", "depthwise_macs")


@dataclass(frozen=True)
class TensorTerm:
    """How many entries a parameter or buffer has: sizes along axes that vary, a constant, and when it exists."""

    axes: tuple[Axis, ...]
    constant: int
    kernel: tuple[str, int, int] | None  # the choice's key, the full size, the dimensions it has
    bytes_each: int
    is_parameter: bool
    active_when: Conditions


@dataclass(frozen=True)
class ContractionTerm:
    """One multiply-accumulate op: `positions` times its weight's entries, or a constant count."""

    module: str
    weight: str | None
    positions: int
    macs: int
    active_when: Conditions


@dataclass(frozen=True)
class CostTerms:
    """Everything that `cost` needs to know of a supernet."""

    space: Space
    groups: tuple[tuple[str, int, int], ...]  # the choice's key, all units, channels a unit
    tensors: Mapping[str, TensorTerm]
    contractions: tuple[ContractionTerm, ...]


def find_terms(supernet: Supernet) -> CostTerms:
    """Returns the terms of a supernet's cost; kept by the supernet, since they do not change with its weights."""
    axes = supernet.axes
    parameters = {name for name, _ in supernet.model.named_parameters()}
    keys = supernet.space.by_key
    tensors = {}
    for name, source in supernet.sources.items():
        own = axes.get(name, ())
        varying = {axis.dim for axis in own}
        path = name.rpartition(".")[0]
        kernel = None
        if name.endswith("weight") and f"kernel_size.{path}" in keys:
            kernel = (f"kernel_size.{path}", source.shape[-1], len(source.shape) - 2)
            varying |= set(range(2, len(source.shape)))
        constant = prod(size for dim, size in enumerate(source.shape) if dim not in varying)
        tensors[name] = TensorTerm(
            own,
            constant,
            kernel,
            source.tensor.element_size(),
            name in parameters,
            supernet.tensor_conditions(name),
        )
    contractions = tuple(
        ContractionTerm(found.module, found.weight, found.positions, found.macs, supernet.conditions(found.module))
        for found in supernet.structure.trace.contractions
    )
    groups = tuple((f"width.{group.name}", group.units, group.channels_per_unit) for group in supernet.groups)
    return CostTerms(supernet.space, groups, tensors, contractions)


def cost(supernet: Supernet, archs: Sequence[Arch]) -> dict[str, Counts]:
    """Returns the cost of each Arch for one example, as int64 arrays (archs,), without running anything.

    "macs": multiply-accumulates of convolutions and matrix products (half of what torch's FLOP counter says);
    "params": parameters; "bytes": parameters and buffers as stored; "activations": numbers written by
    convolutions and linear layers; "layers": how many of those run; "depthwise_macs": those of "macs" in
    convolutions with one input channel a group, which take longer each.
    """
    return {name: values[0] for name, values in cost_of_parts(supernet, archs, [("",)]).items()}


def entries_of(supernet: Supernet, archs: Sequence[Arch], names: Sequence[str]) -> Counts:
    """Returns how many entries each of the named parameters and buffers has, int64 (names, archs); 0 where left out."""
    terms = supernet.cost_terms
    table = terms.space.encode(archs)
    columns = {choice.key: table[:, i] for i, choice in enumerate(terms.space.choices)}
    units = _units(terms, columns, len(archs))
    rows = [
        _entries(terms.tensors[name], units, columns, len(archs), 1)
        * _active(terms.tensors[name].active_when, columns, len(archs))
        for name in names
    ]
    return np.array(rows, dtype=np.int64).reshape(len(names), len(archs))


def cost_of_parts(
    supernet: Supernet, archs: Sequence[Arch], parts: Sequence[Sequence[str]], *, multiple_of: int = 1
) -> dict[str, Counts]:
    """Returns what `cost` does for parts of the network, as int64 arrays (parts, archs); 0 where a part is left out.

    Args:
        parts: each the paths of modules ("" is the whole network); a layer belongs to the first part that holds it.
        multiple_of: channels are counted as if rounded up to this, as runtimes compute them that pad.
    """
    terms = supernet.cost_terms
    table = terms.space.encode(archs)
    columns = {choice.key: table[:, i] for i, choice in enumerate(terms.space.choices)}
    count = len(archs)
    units = _units(terms, columns, count)
    owner = _owner_of(parts)
    result = {name: np.zeros((len(parts), count), dtype=np.int64) for name in COSTS}
    sizes: dict[str, Counts] = {}
    actives: dict[Conditions, Counts] = {}

    def size(name: str) -> Counts:
        if name not in sizes:
            sizes[name] = _entries(terms.tensors[name], units, columns, count, multiple_of)
        return sizes[name]

    def active(conditions: Conditions) -> Counts:
        if conditions not in actives:
            actives[conditions] = _active(conditions, columns, count)
        return actives[conditions]

    for name, term in terms.tensors.items():
        part = owner(name.rpartition(".")[0])
        if part is not None:
            present = size(name) * active(term.active_when)
            result["bytes"][part] += present * term.bytes_each
            if term.is_parameter:
                result["params"][part] += present
    for found in terms.contractions:
        part = owner(found.module)
        if part is None:
            continue
        runs = active(found.active_when)
        result["layers"][part] += runs
        if found.weight is None:
            result["macs"][part] += runs * found.macs
        else:
            macs = runs * found.positions * size(found.weight)
            result["macs"][part] += macs
            if _is_depthwise(supernet.sources[found.weight].shape):
                result["depthwise_macs"][part] += macs
            rows = _rows(terms.tensors[found.weight], supernet, found, units, multiple_of)
            result["activations"][part] += runs * found.positions * rows
    return result


def _units(terms: CostTerms, columns: Mapping[str, Counts], count: int) -> list[Counts]:
    """How many units of each group there are, (archs,) each."""
    return [
        columns[key] // each if key in columns else np.full(count, all_units, dtype=np.int64)
        for key, all_units, each in terms.groups
    ]


def _owner_of(parts: Sequence[Sequence[str]]) -> Callable[[str], int | None]:
    """Returns the function from a module's path to the number of the part that holds it."""
    numbers: dict[str, int] = {}
    for number, paths in enumerate(parts):
        for path in paths:
            numbers.setdefault(path, number)

    def owner(path: str) -> int | None:
        while path and path not in numbers:
            path = path.rpartition(".")[0]
        return numbers.get(path)

    return owner


def _is_depthwise(shape: Sequence[int]) -> bool:
    """Whether a weight (out, in of a group, kernel...) is a convolution's with one input channel a group."""
    return len(shape) > 2 and shape[1] == 1


def _entries(
    term: TensorTerm, units: Sequence[Counts], columns: Mapping[str, Counts], count: int, multiple_of: int
) -> Counts:
    entries = np.full(count, term.constant, dtype=np.int64)
    for axis in term.axes:
        entries = entries * _size(axis, units, multiple_of)
    if term.kernel is not None:
        key, full, dims = term.kernel
        kernel = np.where(columns[key] > 0, columns[key], full)
        entries = entries * kernel**dims
    return entries


def _size(axis: Axis, units: Sequence[Counts], multiple_of: int) -> Counts:
    """The length along one axis: what no group owns, and each group's share; rounded up to a multiple."""
    owned = sum(index.shape[1] * units[number] for number, index in zip(axis.groups, axis.indices, strict=True))
    return -(-np.asarray(len(axis.free) + owned, dtype=np.int64) // multiple_of) * multiple_of


def _rows(
    term: TensorTerm, supernet: Supernet, found: ContractionTerm, units: Sequence[Counts], multiple_of: int
) -> Counts | int:
    for axis in term.axes:
        if axis.dim == 0:
            return _size(axis, units, multiple_of)
    return supernet.sources[found.weight].shape[0] if found.weight else 0


def _active(conditions: Conditions, columns: Mapping[str, Counts], count: int) -> Counts:
    """1 where any of the conditions holds; a depth that is no choice is always deep enough."""
    holds = np.zeros(count, dtype=bool)
    for every in conditions:
        all_hold = np.ones(count, dtype=bool)
        for key, least in every:
            if key in columns:
                all_hold &= columns[key] >= least
        holds |= all_hold
    return holds.astype(np.int64)
