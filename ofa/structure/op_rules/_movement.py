"""Movement is done to labels by the very same op; concatenation and stacking too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ofa.structure import lanes
from ofa.structure.op_rules._elementwise import elementwise, face, fix_all, merge
from ofa.structure.tracer import Tracer


def movement(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Moves the labels by the same op."""
    value = args[0]
    if isinstance(out, Tensor):
        tracer.label(out, [lanes.tidy(func(lane, *args[1:], **_plain(kwargs))) for lane in tracer.lanes(value)])
        if tracer.is_uniform(value):
            tracer.set_uniform(out)
        return
    moved = [func(lane, *args[1:], **kwargs) for lane in tracer.lanes(value)]
    for i, piece in enumerate(out):
        tracer.label(piece, [lanes.tidy(parts[i]) for parts in moved])
        if tracer.is_uniform(value):
            tracer.set_uniform(piece)
    for lane, parts in zip(tracer.lanes(value), moved, strict=True):
        equal = len({tuple(part.shape) for part in parts}) == 1
        if equal and len(parts) > 1:
            _split(tracer, lane, lanes.compact(torch.stack(list(parts))))


def movement_in_place(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """Moves the labels as the op moved the value itself: by its form that returns a new view."""
    twin = getattr(torch.ops.aten, func.overloadpacket.__name__[:-1])
    tracer.label(out, [lanes.tidy(twin(lane, *args[1:], **kwargs)) for lane in tracer.lanes(args[0])])


def restride(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """as_strided, where it only says how the same entries lie in memory; anything else has no rule."""
    same = [lane for lane in tracer.lanes(args[0]) if lane.shape == out.shape]
    if len(same) != len(tracer.lanes(args[0])) or (out is not args[0] and out.stride() != args[0].stride()):
        fix_all(tracer, [args[0]], "meets an op without a rule")
        same = []
    tracer.label(out, same)


def _plain(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Options that say how to move, without those that say what to move (a label keeps its own type)."""
    return {key: value for key, value in kwargs.items() if key not in ("dtype", "device", "layout", "pin_memory")}


def view(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """Reshapes the labels; one labeled dimension broken into several must stay a full grid."""
    value, new = args[0], []
    for lane in tracer.lanes(value):
        moved = lanes.tidy(lane.reshape(out.shape))
        _split(tracer, lane, lanes.compact(moved))
        new.append(moved)
    tracer.label(out, _unmerged(tracer, tracer.lanes(value), new))
    if tracer.is_uniform(value):
        tracer.set_uniform(out)


def _unmerged(tracer: Tracer, before: Sequence[Tensor], after: list[Tensor]) -> list[Tensor]:
    """Returns the lanes after dimensions were merged: of several that come to lie along one, only one may shrink.

    That is the first of its weight's that is not known to stay, such as the heads of (heads, channels): the product
    that asks for the merge may have turned them around.
    """
    merged = {
        (i, j)
        for i in range(len(after))
        for j in range(len(after))
        if i != j and _overlap(after[i], after[j]) and not _overlap(before[i], before[j])
    }
    if not merged:
        return after

    def rank(number: int) -> tuple[bool, int]:
        labels = lanes.compact(before[number])
        return tracer.trace.any_stays(labels), int(labels.max())

    apart: list[int] = []
    for number in sorted(range(len(after)), key=rank):
        if any((number, other) in merged for other in apart):
            tracer.trace.fix(after[number], tracer.reason("is merged with another dimension that may shrink"))
        else:
            apart.append(number)
    return [after[number] for number in apart]


def _overlap(first: Tensor, second: Tensor) -> bool:
    return bool(set(lanes.varying(first)) & set(lanes.varying(second)))


def _split(tracer: Tracer, lane: Tensor, grid: Tensor) -> None:
    """Records that labels of one dimension now lie along several."""
    if sum(size > 1 for size in grid.shape) > max(1, len(lanes.varying(lane))):
        tracer.trace.grids.append(grid.squeeze())


def copy_type(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """The same values in another type, location or layout."""
    tracer.label(out, tracer.lanes(args[0]))
    if tracer.is_uniform(args[0]):
        tracer.set_uniform(out)


def copy_into(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """Overwrites a tensor: its old labels and the new ones are tied."""
    elementwise(tracer, [args[1]] if not tracer.lanes(args[0]) else [args[0], args[1]], [args[0]])


def concatenate(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """Lays labels one after another along `dim`; a part without labels there counts as constant."""
    values = [value for value in args[0] if value.numel()]
    dim = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % out.dim()
    other: list[Tensor] = []
    columns: list[Tensor] = []
    for value in values:
        column = torch.full((1,) * out.dim(), lanes.CONSTANT).expand(value.shape)
        beside = []
        for lane in tracer.lanes(value):
            if dim not in lanes.varying(lane):
                beside.append(lane.narrow(dim, 0, 1).expand(out.shape))
            elif bool((column == lanes.CONSTANT).all()):
                column = lane
            else:
                tracer.trace.meet(column, lane, tracer.reason("meets a constant"))
        columns.append(column)
        # Labels along the other dimensions lie side by side in every part, so they are the same index.
        other = merge(tracer, other, beside)
    new = [lanes.tidy(torch.cat(columns, dim))] if any(lanes.varying(column) for column in columns) else []
    carried = merge(tracer, new, other)
    for lane in other:
        for value in values:
            face(tracer, lane, value, out)
    tracer.label(out, carried)


def stack(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """Concatenation along a new dimension."""
    dim = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % out.dim()
    values = args[0]
    by_dims = [{lanes.varying(lane): lane for lane in tracer.lanes(value)} for value in values]
    if len({frozenset(parts) for parts in by_dims}) != 1:
        fix_all(tracer, values, "meets values that no weight made")
        return
    new = []
    for dims in by_dims[0]:
        lane = lanes.tidy(torch.stack([parts[dims] for parts in by_dims], dim))
        _split(tracer, by_dims[0][dims], lanes.compact(lane))
        new.append(lane)
    tracer.label(out, new)
