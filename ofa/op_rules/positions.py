"""Padding, pooling, reductions and softmax: ops over positions, which must not run over labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ofa import lanes

if TYPE_CHECKING:
    from ofa.tracer import Tracer


def pad(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """Pads labels with the constant where they vary; elsewhere a border is only more positions."""
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
    """Sums, means and extrema: a label that is reduced over stays, the others go on."""
    value = args[0]
    names = [argument.name for argument in func._schema.arguments]
    given = dict(zip(names, args, strict=False)) | kwargs
    dims = given.get("dim")
    every = range(value.dim()) if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
    reduced = {d % value.dim() for d in every} if value.dim() else set()
    keep = bool(given.get("keepdim", False))
    for result in out if isinstance(out, (list, tuple)) else [out]:
        new = []
        for lane in tracer.lanes(value):
            if set(lanes.varying(lane)) & reduced:
                tracer.trace.fix(lane, tracer.reason("is reduced over"))
                continue
            for d in sorted(reduced, reverse=True):
                lane = lane.narrow(d, 0, 1) if keep else lane.select(d, 0)
            new.append(lane.expand(result.shape))
        tracer.label(result, new)


def along_dim(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Softmax and its like: every entry along `dim` depends on all of them, so labels there stay."""
    value = args[0]
    dim = args[1] % max(1, value.dim())
    kept = [lane for lane in tracer.lanes(value) if dim not in lanes.varying(lane)]
    for lane in tracer.lanes(value):
        if dim in lanes.varying(lane):
            tracer.trace.fix(lane, tracer.reason("is normalised over"))
    for result in out if isinstance(out, (list, tuple)) else [out]:
        if result.shape == value.shape:
            tracer.label(result, kept)
