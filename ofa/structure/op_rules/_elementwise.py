"""Elementwise ops tie the labels that lie over each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ofa.structure import lanes
from ofa.structure.tracer import Tracer


def elementwise(tracer: Tracer, operands: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
    """Ties the labels that lie over each other; a label that faces unlabeled entries stays."""
    for out in outputs:
        if out.numel() == 0 or any(not _broadcasts(value, out) for value in operands):
            fix_all(tracer, operands, "changes shape here")
            continue
        carried: list[Tensor] = []
        for value in operands:
            carried = merge(tracer, carried, [lane.expand(out.shape) for lane in tracer.lanes(value)])
        for lane in carried:
            for value in operands:
                face(tracer, lane, value, out)
        if operands and not carried and all(tracer.is_uniform(value) for value in operands):
            tracer.set_uniform(out)
        tracer.label(out, carried)


def _broadcasts(value: Tensor, out: Tensor) -> bool:
    if value.dim() > out.dim():
        return False
    return all(a in (1, b) for a, b in zip(reversed(value.shape), reversed(out.shape), strict=False))


def merge(tracer: Tracer, carried: list[Tensor], new: list[Tensor]) -> list[Tensor]:
    """Returns the lanes of two values of one shape laid over each other, tied where they overlap."""
    fresh = []
    for lane in new:
        dims = set(lanes.varying(lane))
        overlapping = [old for old in carried if set(lanes.varying(old)) & dims]
        for old in overlapping:
            tracer.trace.lay_over(old, lane, tracer.reason("meets a constant"))
        if not any(dims <= set(lanes.varying(old)) for old in overlapping):
            fresh.append(lane)
    wider = [set(lanes.varying(lane)) for lane in fresh]
    return [old for old in carried if not any(set(lanes.varying(old)) < dims for dims in wider)] + fresh


def face(tracer: Tracer, lane: Tensor, value: Tensor, out: Tensor) -> None:
    """Fixes `lane` where it goes one by one along dimensions at which `value` has entries of its own but no labels."""
    if tracer.is_uniform(value):
        return
    shift = out.dim() - value.dim()
    labeled = {d + shift for other in tracer.lanes(value) for d in lanes.varying(other)}
    # A value that was expanded along a dimension has one entry there, however often it is repeated.
    own = {d + shift for d in range(value.dim()) if value.size(d) > 1 and value.stride(d) != 0}
    bare = [d for d in lanes.varying(lane) if d in own and d not in labeled]
    if bare:
        tracer.trace.stay_along(lane, bare, tracer.reason("meets values that no weight made"))


def fix_all(tracer: Tracer, values: Sequence[Any], why: str) -> None:
    """Fixes every label of every value."""
    for value in values:
        for lane in tracer.lanes(value):
            tracer.trace.fix(lane, tracer.reason(why))


def constant(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Fresh tensors of one number."""
    if isinstance(out, Tensor):
        tracer.set_uniform(out)


def overwritten(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """Filled with one number in place: each entry stays the one that it was, so labels stay."""
    if not tracer.lanes(out):
        tracer.set_uniform(out)


def no_value(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Fresh tensors whose entries come from no weight: nothing to do, they stay unlabeled."""
