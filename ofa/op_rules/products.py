"""What convolutions, matrix products and norms do to labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ofa import lanes
from ofa.op_rules.elementwise import elementwise
from ofa.op_rules.names import BATCH_NORM_OPS

if TYPE_CHECKING:
    from ofa.tracer import Tracer


def _labels(tracer: Tracer, value: Tensor, dim: int) -> Tensor | None:
    """Returns the 1-d labels along `dim`, None where there are none; labels that vary elsewhere too are fixed."""
    found: Tensor | None = None
    for lane in tracer.lanes(value):
        if dim % value.dim() not in lanes.varying(lane):
            continue
        labels = lanes.vector(lane, dim)
        if labels is None:
            tracer.trace.fix(lane, tracer.reason("varies along another dimension too"))
        elif found is None:
            found = labels
        else:
            tracer.trace.meet(found, labels, tracer.reason("meets a constant"))
    return found


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
    tracer.contraction(weight, positions, positions * weight.numel())
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
    kept = []
    for lane in tracer.lanes(value):
        over = [d for d in lanes.varying(lane) if d >= 2]
        if over and (1 in lanes.varying(lane) or value.size(1) == 1):
            first = lane
            for d in over:
                first = first.narrow(d, 0, 1)
            tracer.trace.meet(first, lane, tracer.reason("meets a constant"))
            lane = first.expand(value.shape)
        elif over:
            tracer.trace.fix(lane, tracer.reason("is convolved over"))
        kept.append(lane)
    tracer.label(value, kept)
    return _labels(tracer, value, 1)


def _multiply(tracer: Tracer, first: Tensor, second: Tensor, out: Tensor) -> list[Tensor]:
    """Returns the lanes of (..., n, k) @ (..., k, m); ties the labels along k."""
    k_first, k_second = first.dim() - 1, max(0, second.dim() - 2)
    if first.size(k_first) > 1:
        _tie(tracer, _labels(tracer, first, k_first), _labels(tracer, second, k_second))
    carried = []
    for value, contracted in ((first, k_first), (second, k_second)):
        for lane in tracer.lanes(value):
            dims = lanes.varying(lane)
            if contracted in dims:
                continue
            if value.dim() > 2 and any(d < value.dim() - 2 for d in dims):
                tracer.trace.fix(lane, tracer.reason("indexes a batch of matrices, which has no rule"))
                continue
            carried.append(lane.narrow(contracted, 0, 1).expand(out.shape))
    is_weight = tracer.source_of(second) is not None
    weight = second if is_weight else first
    positions = out.numel() // max(1, out.size(-1) if is_weight else out.size(-2))
    tracer.contraction(weight, positions, out.numel() * first.size(-1))
    return carried


def matrix_product(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """mm and bmm."""
    tracer.label(out, _multiply(tracer, args[0], args[1], out))


def matrix_product_and_sum(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """addmm and baddbmm: a product, then the elementwise sum with the bias."""
    tracer.label(out, _multiply(tracer, args[1], args[2], out))
    elementwise(tracer, [out, args[0]], [out])


def linear(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """linear(x, weight, bias), where it is not taken apart into a transpose and addmm."""
    value, weight = args[0], args[1]
    bias = args[2] if len(args) > 2 else kwargs.get("bias")
    if value.size(-1) > 1:
        _tie(tracer, _labels(tracer, value, -1), _labels(tracer, weight, 1))
    tracer.contraction(weight, out.numel() // out.size(-1), out.numel() * value.size(-1))
    carried = [
        lane.narrow(-1, 0, 1).expand(out.shape)
        for lane in tracer.lanes(value)
        if value.dim() - 1 not in lanes.varying(lane)
    ]
    outgoing = _labels(tracer, weight, 0)
    if outgoing is not None:
        carried.append(lanes.along(outgoing, out.dim() - 1, out.shape))
    tracer.label(out, carried)
    if bias is not None:
        elementwise(tracer, [out, bias], [out])


def _scale(tracer: Tracer, value: Tensor, weights: Sequence[Tensor | None], dim: int, out: Tensor) -> None:
    """Ties `value`'s labels along `dim` to vectors of weights; the result is labelled like `value`."""
    incoming = _labels(tracer, value, dim)
    for weight in weights:
        if weight is not None and weight.numel() > 1:
            _tie(tracer, incoming, _labels(tracer, weight, 0))
    tracer.label(out, tracer.lanes(value))


def batch_norm(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Batch norm: each channel for itself."""
    vectors = [value for value in args[1:5] if isinstance(value, Tensor)]
    _scale(tracer, args[0], vectors, 1, out[0])


def layer_norm(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Layer norm: labels that are normalised over may go, but that changes the statistics."""
    value, shape = args[0], args[1]
    result = out[0] if isinstance(out, (list, tuple)) else out
    over = range(value.dim() - len(shape), value.dim())
    tracer.label(result, tracer.lanes(value))
    for weight in args[2:4]:
        if isinstance(weight, Tensor):
            elementwise(tracer, [result, weight], [result])
    for lane in tracer.lanes(value):
        if set(lanes.varying(lane)) & set(over):
            tracer.trace.renormalised.append(torch.unique(lanes.compact(lane)))


def group_norm(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Group norm: whole norm groups are units; with one group it is a layer norm over channels."""
    value, weight, bias, groups = args[0], args[1], args[2], int(args[6])
    _scale(tracer, value, [weight, bias], 1, out[0])
    incoming = _labels(tracer, value, 1)
    if incoming is None:
        return
    if groups == 1:
        tracer.trace.renormalised.append(torch.unique(incoming))
    elif groups < value.size(1):
        rows = incoming.view(groups, -1)
        tracer.trace.meet(rows[:, :1], rows, tracer.reason("meets a constant"))


PRODUCT_RULES: dict[str, Any] = {
    "convolution": convolution,
    "mm": matrix_product,
    "bmm": matrix_product,
    "addmm": matrix_product_and_sum,
    "baddbmm": matrix_product_and_sum,
    "linear": linear,
    "native_layer_norm": layer_norm,
    "native_group_norm": group_norm,
    **dict.fromkeys(BATCH_NORM_OPS, batch_norm),
}
