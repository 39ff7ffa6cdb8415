"""Cost of many Archs at once, in closed form: every size is a sum of widths, every count a product of sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ofa.arch import Arch
from ofa.choice import Conditions, holds
from ofa.cost_terms import ContractionTerm, CostTerms, FactorTerm, TensorTerm
from ofa.resolution import KEY as RESOLUTION
from ofa.views.plan import Axis

if TYPE_CHECKING:
    from ofa.supernet import Supernet

Counts = np.ndarray[Any, np.dtype[np.int64]]

COSTS = ("macs", "params", "bytes", "activations", "layers", "depthwise_macs")


def cost(supernet: Supernet, archs: Sequence[Arch]) -> dict[str, Counts]:
    """Returns the cost of each Arch for one example of its resolution, as int64 arrays (archs,); nothing is run.

    "macs": multiply-accumulates of convolutions and matrix products (half of what torch's FLOP counter says);
    "params": parameters; "bytes": parameters and buffers as stored; "activations": numbers written by
    convolutions and linear layers; "layers": how many of those run; "depthwise_macs": those of "macs" in
    convolutions with one input channel per group, which take longer each.
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
        multiple_of: channels are counted as if rounded up to this, as in runtimes that pad.
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
    for used, rows in _contractions(terms, columns):
        part = owner(used.module)
        if part is None:
            continue
        runs = active(used.active_when) * rows
        result["layers"][part] += runs
        if used.weight is None:
            result["macs"][part] += runs * _scaled(used.macs, used.factors, units)
        else:
            weight = terms.tensors[used.weight]
            positions = _scaled(used.positions, used.factors, units)
            macs = runs * positions * size(used.weight)
            result["macs"][part] += macs
            if _is_depthwise(weight.shape):
                result["depthwise_macs"][part] += macs
            result["activations"][part] += runs * positions * _rows(weight, units, multiple_of)
    return result


def _contractions(terms: CostTerms, columns: Mapping[str, Counts]) -> Iterator[tuple[ContractionTerm, Counts | int]]:
    """The ops of each resolution, and which Archs have it: 1 or 0 for each, 1 for all where it is no choice."""
    if not terms.resolutions:
        yield from ((used, 1) for used in terms.contractions)
    for height, contractions in terms.resolutions.items():
        rows = (columns[RESOLUTION] == height).astype(np.int64)
        if rows.any():
            yield from ((used, rows) for used in contractions)


def _scaled(whole: int, factors: Sequence[FactorTerm], units: Sequence[Counts]) -> Counts:
    """Returns a count of the whole model once the dimensions that make it up are narrower, (archs,)."""
    count = np.asarray(whole, dtype=np.int64)
    for term in factors:
        size = term.constant + sum(table[units[number]] for number, table in term.by_units)
        count = count * size // term.full
    return count


def _units(terms: CostTerms, columns: Mapping[str, Counts], count: int) -> list[Counts]:
    """The number of units of each group, (archs,) each."""
    return [
        columns[key] // per_unit if key in columns else np.full(count, all_units, dtype=np.int64)
        for key, all_units, per_unit in terms.groups
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
    """Whether a weight (out, in of a group, kernel...) is a convolution's with one input channel per group."""
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
    """The length along one axis: what no group owns plus each group's share, rounded up to a multiple."""
    owned = sum(index.shape[1] * units[number] for number, index in zip(axis.groups, axis.indices, strict=True))
    return -(-np.asarray(len(axis.free) + owned, dtype=np.int64) // multiple_of) * multiple_of


def _rows(term: TensorTerm, units: Sequence[Counts], multiple_of: int) -> Counts | int:
    for axis in term.axes:
        if axis.dim == 0:
            return _size(axis, units, multiple_of)
    return term.shape[0]


def _active(conditions: Conditions, columns: Mapping[str, Counts], count: int) -> Counts:
    """1 where any of the conditions holds; a depth that is not a choice is always deep enough."""
    result = np.zeros(count, dtype=bool)
    for alternative in conditions:
        all_hold = np.ones(count, dtype=bool)
        for key, least in alternative:
            if key in columns:
                all_hold &= holds(key, columns[key], least)
        result |= all_hold
    return result.astype(np.int64)
