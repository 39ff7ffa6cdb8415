"""Elementwise ops tie the labels that lie over each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ofa import lanes

if TYPE_CHECKING:
    from ofa.tracer import Tracer


def elementwise(tracer: Tracer, operands: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
    """Ties the labels that lie over each other; a label that faces unlabelled entries stays."""
    for out in outputs:
        if out.numel() == 0 or any(not _broadcasts(value, out) for value in operands):
            fix_all(tracer, operands, "changes shape here")
            continue
        carried: list[Tensor] = []
        for value in operands:
            own = [lane.expand(out.shape) for lane in tracer.lanes(value)]
            fresh = []
            for lane in own:
                over = [old for old in carried if set(lanes.varying(old)) & set(lanes.varying(lane))]
                for old in over:
                    tracer.trace.meet(old, lane, tracer.reason("meets a constant"))
                if not any(set(lanes.varying(lane)) <= set(lanes.varying(old)) for old in over):
                    fresh.append(lane)
            carried += fresh
        for lane in carried:
            for value in operands:
                if not tracer.is_uniform(value) and faces_unlabelled(tracer, lane, value, out):
                    tracer.trace.fix(lane, tracer.reason("meets values that no weight made"))
        if operands and not carried and all(tracer.is_uniform(value) for value in operands):
            tracer.set_uniform(out)
        flow = _flow(tracer, operands, out)
        tracer.label(out, carried)
        tracer.set_flow(out, flow)


def _broadcasts(value: Tensor, out: Tensor) -> bool:
    if value.dim() > out.dim():
        return False
    return all(a in (1, b) for a, b in zip(reversed(value.shape), reversed(out.shape), strict=False))


def faces_unlabelled(tracer: Tracer, lane: Tensor, value: Tensor, out: Tensor) -> bool:
    """Whether `lane` varies where `value` has entries of its own but no labels."""
    shift = out.dim() - value.dim()
    own = {d + shift for given in tracer.lanes(value) for d in lanes.varying(given)}
    return any(d >= shift and value.size(d - shift) > 1 and d not in own for d in lanes.varying(lane))


def _flow(tracer: Tracer, operands: Sequence[Tensor], out: Tensor) -> dict[int, bool]:
    """Identity survives one-operand ops, and a sum of two tensors of one shape makes it a residual sum."""
    if len(operands) == 1:
        return tracer.flow(operands[0])
    is_sum = tracer.op in ("aten.add", "aten.add_")
    if is_sum and all(value.shape == out.shape for value in operands):
        return {number: True for value in operands for number in tracer.flow(value)}
    return {}


def fix_all(tracer: Tracer, values: Sequence[Any], why: str) -> None:
    """Fixes every label of every value."""
    for value in values:
        for lane in tracer.lanes(value):
            tracer.trace.fix(lane, tracer.reason(why))


def constant(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Fresh tensors of one number."""
    if isinstance(out, Tensor):
        tracer.set_uniform(out)


def no_value(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Fresh tensors whose entries come from no weight: nothing to do, they stay unlabelled."""
