"""Movement is done to labels by the very same op; concatenation and stacking too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ofa import lanes
from ofa.op_rules.elementwise import elementwise, faces_unlabelled, fix_all

if TYPE_CHECKING:
    from ofa.tracer import Tracer


def movement(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Moves the labels by the same op."""
    value = args[0]
    if isinstance(out, Tensor):
        tracer.label(out, [lanes.tidy(func(lane, *args[1:], **_plain(kwargs))) for lane in tracer.lanes(value)])
        if tracer.is_uniform(value):
            tracer.set_uniform(out)
        if out.shape == value.shape and func.overloadpacket.__name__ in _KEEPS_IDENTITY:
            tracer.set_flow(out, tracer.flow(value))
        return
    moved = [func(lane, *args[1:], **kwargs) for lane in tracer.lanes(value)]
    for i, piece in enumerate(out):
        tracer.label(piece, [lanes.tidy(parts[i]) for parts in moved])
    for lane, parts in zip(tracer.lanes(value), moved, strict=True):
        equal = len({tuple(part.shape) for part in parts}) == 1
        if equal and len(parts) > 1:
            _split(tracer, lane, lanes.compact(torch.stack(list(parts))))


_KEEPS_IDENTITY = frozenset(
    {"clone", "contiguous", "detach", "alias", "_to_copy", "lift_fresh", "view", "_unsafe_view"}
)


def _plain(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Options that say how to move, without those that say what to move (a label keeps its own type)."""
    return {key: value for key, value in kwargs.items() if key not in ("dtype", "device", "layout", "pin_memory")}


def view(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """Reshapes the labels; one labelled dimension broken into several must stay a full grid."""
    value, new = args[0], []
    for lane in tracer.lanes(value):
        moved = lanes.tidy(lane.reshape(out.shape))
        _split(tracer, lane, lanes.compact(moved))
        new.append(moved)
    tracer.label(out, new)
    if tracer.is_uniform(value):
        tracer.set_uniform(out)
    if out.shape == value.shape:
        tracer.set_flow(out, tracer.flow(value))


def _split(tracer: Tracer, lane: Tensor, grid: Tensor) -> None:
    """Records that labels of one dimension now lie along several."""
    if sum(size > 1 for size in grid.shape) > max(1, len(lanes.varying(lane))):
        tracer.trace.grids.append(grid.squeeze())


def copy_type(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """The same values in another type, place or layout."""
    tracer.label(out, tracer.lanes(args[0]))
    if tracer.is_uniform(args[0]):
        tracer.set_uniform(out)
    tracer.set_flow(out, tracer.flow(args[0]))


def copy_into(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """Overwrites a tensor: its old labels and the new ones are tied."""
    elementwise(tracer, [args[1]] if not tracer.lanes(args[0]) else [args[0], args[1]], [args[0]])


def concatenate(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """Lays labels one after another along `dim`; what has none there counts as constant."""
    values = [value for value in args[0] if value.numel()]
    dim = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % out.dim()
    other: list[Tensor] = []
    columns: list[Tensor] = []
    for value in values:
        column = torch.full((1,) * out.dim(), lanes.CONSTANT).expand(value.shape)
        for lane in tracer.lanes(value):
            if dim not in lanes.varying(lane):
                other.append(lane.narrow(dim, 0, 1))
            elif bool((column == lanes.CONSTANT).all()):
                column = lane
            else:
                tracer.trace.meet(column, lane, tracer.reason("meets a constant"))
        columns.append(column)
    new = [lanes.tidy(torch.cat(columns, dim))] if any(lanes.varying(column) for column in columns) else []
    for lane in other:
        # Labels along the other dimensions lie side by side in every part, so they are one and the same index.
        tracer.trace.meet(other[0], lane, tracer.reason("meets a constant"))
        for value in values:
            if faces_unlabelled(tracer, lane, value, out) and not tracer.is_uniform(value):
                tracer.trace.fix(lane, tracer.reason("meets values that no weight made"))
    tracer.label(out, new + [lane.expand(out.shape) for lane in other[:1]])


def stack(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """Concatenation along a new dimension."""
    dim = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % out.dim()
    values = args[0]
    counts = {len(tracer.lanes(value)) for value in values}
    if len(counts) != 1:
        fix_all(tracer, values, "meets values that no weight made")
        return
    new = []
    for parts in zip(*(tracer.lanes(value) for value in values), strict=True):
        lane = lanes.tidy(torch.stack(list(parts), dim))
        _split(tracer, parts[0], lanes.compact(lane))
        new.append(lane)
    tracer.label(out, new)
