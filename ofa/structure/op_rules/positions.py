"""Padding, pooling, reductions and softmax."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ofa.structure import lanes
from ofa.structure.op_rules.mixing import arguments, mixed_dims
from ofa.structure.tracer import Tracer


def pad(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """Pads labels with the constant where they vary; elsewhere the border is only more positions."""
    value, padding = args[0], args[1]
    touched = {value.dim() - 1 - i // 2 for i, amount in enumerate(padding) if amount}
    new = []
    for lane in tracer.lanes(value):
        if set(lanes.varying(lane)) & touched:
            new.append(lanes.tidy(torch.constant_pad_nd(lane, padding, lanes.CONSTANT)))
        else:
            new.append(lanes.squeeze_to(lane, out.shape, sorted(touched)))
    tracer.label(out, new)


def pool(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Pooling, resizing and border padding: positions change, channels do not."""
    value = args[0]
    for result in out if isinstance(out, (list, tuple)) else [out]:
        changed = [d for d in range(value.dim()) if value.size(d) != result.size(d) or d >= 2]
        new = []
        for lane in tracer.lanes(value):
            if set(lanes.varying(lane)) & set(changed):
                tracer.trace.fix(lane, tracer.reason("is pooled over"))
            else:
                new.append(lanes.squeeze_to(lane, result.shape, changed))
        tracer.label(result, new)


def reduction(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Sums, means and extrema: labels that are reduced over may go, the others pass through.

    Labels that also vary along a dimension that stays are tied along those that go: what stays depends on all of
    them. Positions of extrema count entries, so there labels stay.
    """
    value = args[0]
    reduced = set(mixed_dims(func, args, kwargs))
    keep = bool(arguments(func, args, kwargs).get("keepdim", False))
    remaining = []
    for lane in tracer.lanes(value):
        over = sorted(set(lanes.varying(lane)) & reduced)
        if over and func.overloadpacket.__name__ in ("argmax", "argmin"):
            tracer.trace.fix(lane, tracer.reason("is searched for its extremum"))
            continue
        if over and set(lanes.varying(lane)) <= reduced:
            tracer.trace.renormalized.append(torch.unique(lanes.compact(lane)))
            continue
        remaining.append(_tied(tracer, lane, over) if over else lane)
    for result in out if isinstance(out, (list, tuple)) else [out]:
        new = []
        for lane in remaining:
            for d in sorted(reduced, reverse=True):
                lane = lane.narrow(d, 0, 1) if keep else lane.select(d, 0)
            new.append(lane.expand(result.shape))
        tracer.label(result, new)


def _tied(tracer: Tracer, lane: Tensor, over: list[int]) -> Tensor:
    """Ties labels along dimensions over which an op runs; returns the first of them, everywhere."""
    first = lane
    for d in over:
        first = first.narrow(d, 0, 1)
    tracer.trace.meet(first, lane, tracer.reason("meets a constant"))
    return first.expand(lane.shape)


def along_dim(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Softmax and its like: every entry along `dim` depends on all of them; labels there may go."""
    value = args[0]
    dims = set(mixed_dims(func, args, kwargs))
    for lane in tracer.lanes(value):
        over = sorted(set(lanes.varying(lane)) & dims)
        if over and set(lanes.varying(lane)) <= dims:
            tracer.trace.renormalized.append(torch.unique(lanes.compact(lane)))
        elif over:
            _tied(tracer, lane, over)
    for result in out if isinstance(out, (list, tuple)) else [out]:
        if result.shape == value.shape:
            tracer.label(result, tracer.lanes(value))
