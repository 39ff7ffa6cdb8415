"""What convolutions and norms do to labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ofa.structure import lanes
from ofa.structure.op_rules._elementwise import elementwise
from ofa.structure.op_rules.matrix_products import factor
from ofa.structure.op_rules.mixing import mixed_dims
from ofa.structure.op_rules.names import BATCH_NORM_OPS
from ofa.structure.tracer import Tracer


def _labels(tracer: Tracer, value: Tensor, dim: int) -> Tensor | None:
    """Returns the 1-d labels along `dim`, None where there are none; labels that vary elsewhere too are fixed."""
    joined: Tensor | None = None
    for lane in tracer.lanes(value):
        if dim % value.dim() not in lanes.varying(lane):
            continue
        labels = lanes.vector(lane, dim)
        if labels is None:
            tracer.trace.fix(lane, tracer.reason("varies along another dimension too"))
        elif joined is None:
            joined = labels
        else:
            tracer.trace.meet(joined, labels, tracer.reason("meets a constant"))
    return joined


def _tie(tracer: Tracer, first: Tensor | None, second: Tensor | None) -> None:
    """Ties two label vectors; one that faces nothing stays."""
    if first is not None and second is not None:
        tracer.trace.meet(first, second, tracer.reason("meets a constant"))
    for labels, other in ((first, second), (second, first)):
        if labels is not None and other is None:
            tracer.trace.fix(labels, tracer.reason("meets values that no weight made"))


def convolution(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """Convolution of any number of dimensions: dense, grouped (a whole group is one unit), transposed."""
    value, weight, bias = args[0], args[1], args[2]
    transposed, groups = bool(args[6]), int(args[8])
    name = tracer.source_of(weight)
    spatial = value if transposed else out
    positions = spatial.numel() // spatial.size(1)
    counted = [factor(tracer.lanes(spatial if transposed else value), 0, spatial.size(0))]
    if name is None:
        positions *= weight.numel()
        counted += [factor(tracer.lanes(weight), d, weight.size(d)) for d in range(weight.dim())]
    tracer.contraction(weight, positions, counted)
    incoming = _channels(tracer, value)
    in_dim, out_dim = (0, 1) if transposed else (1, 0)
    is_grouped = groups > 1 or (name is not None and name in tracer.grouped)
    if is_grouped and transposed:
        for tensor in (value, weight, *((bias,) if bias is not None else ())):
            for lane in tracer.lanes(tensor):
                tracer.trace.fix(lane, tracer.reason("grouped transposed convolution has no rule"))
        return
    outgoing = _labels(tracer, weight, out_dim)
    if bias is not None and bias.numel() > 1:
        _tie(tracer, outgoing, _labels(tracer, bias, 0))
    if is_grouped:
        if name is not None:
            tracer.trace.grouped.add(name)
        within = _labels(tracer, weight, 1)
        if within is not None:
            tracer.trace.fix(within, tracer.reason("counts the channels inside one group"))
        _tie_groups(tracer, incoming, outgoing, groups)
    elif value.size(1) > 1:
        _tie(tracer, incoming, _labels(tracer, weight, in_dim))
    if outgoing is not None:
        tracer.label(out, [lanes.along(outgoing, 1, out.shape)])


def _tie_groups(tracer: Tracer, incoming: Tensor | None, outgoing: Tensor | None, groups: int) -> None:
    """Makes each convolution group one unit: its channels in and its channels out."""
    for labels in (incoming, outgoing):
        if labels is not None:
            rows = labels.view(groups, -1)
            tracer.trace.meet(rows[:, :1], rows, tracer.reason("meets a constant"))
    if incoming is not None and outgoing is not None:
        first = incoming.view(groups, -1)[:, 0], outgoing.view(groups, -1)[:, 0]
        tracer.trace.meet(*first, tracer.reason("meets a constant"))
    else:
        _tie(tracer, incoming, outgoing)


def _channels(tracer: Tracer, value: Tensor) -> Tensor | None:
    """Returns the 1-d labels along a convolution's input channels.

    Labels that also change over a channel's positions (after a pixel shuffle, say) meet one weight index there,
    so they are tied; labels of positions alone stay.
    """
    remaining = []
    for lane in tracer.lanes(value):
        positions = [d for d in lanes.varying(lane) if d >= 2]
        if positions and (1 in lanes.varying(lane) or value.size(1) == 1):
            first = lane
            for d in positions:
                first = first.narrow(d, 0, 1)
            tracer.trace.meet(first, lane, tracer.reason("meets a constant"))
            lane = first.expand(value.shape)
        elif positions:
            tracer.trace.fix(lane, tracer.reason("is convolved over"))
        remaining.append(lane)
    tracer.label(value, remaining)
    return _labels(tracer, value, 1)


def _scale(tracer: Tracer, value: Tensor, weights: Sequence[Tensor | None], dim: int, out: Tensor) -> None:
    """Ties `value`'s labels along `dim` to vectors of weights; the result is labeled like `value`."""
    incoming = _labels(tracer, value, dim)
    for weight in weights:
        if weight is not None and weight.numel() > 1:
            _tie(tracer, incoming, _labels(tracer, weight, 0))
    tracer.label(out, tracer.lanes(value))


def batch_norm(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Batch norm: each channel on its own; labels of positions may go, but that changes batch statistics."""
    vectors = [value for value in args[1:5] if isinstance(value, Tensor)]
    _scale(tracer, args[0], vectors, 1, out[0])
    over = set(mixed_dims(func, args, kwargs))
    for lane in tracer.lanes(args[0]):
        if set(lanes.varying(lane)) & over:
            tracer.trace.renormalized.append(torch.unique(lanes.compact(lane)))


def layer_norm(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Layer norm: labels that are normalized over may go, but that changes the statistics.

    Labels that vary along other dimensions too (heads, each normalized by itself) go only as a whole there.
    """
    value = args[0]
    result = out[0] if isinstance(out, (list, tuple)) else out
    normalized = set(mixed_dims(func, args, kwargs))
    tracer.label(result, tracer.lanes(value))
    for weight in args[2:4]:
        if isinstance(weight, Tensor):
            elementwise(tracer, [result, weight], [result])
    for lane in tracer.lanes(value):
        over = set(lanes.varying(lane)) & normalized
        if over and set(lanes.varying(lane)) <= normalized:
            tracer.trace.renormalized.append(torch.unique(lanes.compact(lane)))
        elif over:
            first = lane
            for d in sorted(over):
                first = first.narrow(d, 0, 1)
            tracer.trace.meet(first, lane, tracer.reason("meets a constant"))


def group_norm(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Group norm: whole norm groups are units; with one group it is a layer norm over channels."""
    value, weight, bias, groups = args[0], args[1], args[2], int(args[6])
    _scale(tracer, value, [weight, bias], 1, out[0])
    incoming = _labels(tracer, value, 1)
    if incoming is None:
        return
    if groups == 1:
        tracer.trace.renormalized.append(torch.unique(incoming))
    elif groups < value.size(1):
        rows = incoming.view(groups, -1)
        tracer.trace.meet(rows[:, :1], rows, tracer.reason("meets a constant"))


def weight_norm(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """_weight_norm_interface(directions, sizes, dim): the norm of each slice along `dim` runs over all other labels."""
    directions, sizes, dim = args[0], args[1], int(args[2]) if len(args) > 2 else 0
    elementwise(tracer, [directions, sizes], [out[0]])
    tracer.label(out[1], tracer.lanes(sizes))
    for lane in tracer.lanes(directions):
        if dim % directions.dim() not in lanes.varying(lane):
            tracer.trace.renormalized.append(torch.unique(lanes.compact(lane)))


PRODUCT_RULES: dict[str, Any] = {
    "convolution": convolution,
    "native_layer_norm": layer_norm,
    "_fused_rms_norm": layer_norm,
    "native_group_norm": group_norm,
    "_weight_norm_interface": weight_norm,
    **dict.fromkeys(BATCH_NORM_OPS, batch_norm),
}
