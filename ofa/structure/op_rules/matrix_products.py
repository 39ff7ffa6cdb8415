"""What matrix products do to labels: weights with activations, activations with each other, and attention.

Labels along the contracted dimension are tied and end there. Where they change along a batch dimension too, as those
of attention heads do, each batch entry is one unit: a head stays or goes as a whole, and its label is carried on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ofa.structure import lanes
from ofa.structure.op_rules._elementwise import elementwise
from ofa.structure.op_rules.mixing import arguments
from ofa.structure.op_rules.names import ATTENTION_OPS
from ofa.structure.trace import Factor
from ofa.structure.tracer import Tracer


def factor(value_lanes: Sequence[Tensor], dim: int, size: int) -> Factor:
    """Returns the factor of a product's cost that one dimension of a value is."""
    varying = [lane for lane in value_lanes if dim % lane.dim() in lanes.varying(lane)]
    return Factor(size, tuple(lanes.first_along(lane, dim) for lane in varying))


def contract(
    tracer: Tracer,
    first: Sequence[Tensor],
    second: Sequence[Tensor],
    inner: int,
    shape: Sequence[int],
    uniform: bool = False,
) -> tuple[list[Tensor], Factor]:
    """Returns the lanes of (..., n, k) @ (..., k, m), and the factor k of its cost; ties the labels along k.

    Args:
        first: lanes of the first value; second: of the second; of as many dimensions as the result.
        inner: k.
        shape: of the result.
        uniform: whether a value without labels is one number everywhere, as a first hidden state of zeros is.
    """
    ends_first, ends_second = _ending(tracer, first, -1), _ending(tracer, second, -2)
    for lane in ends_first:
        for other in ends_second:
            _meet_inside(tracer, lane, other)
    if inner > 1 and not uniform:
        for lanes_of_one, others, dim in ((ends_first, ends_second, -1), (ends_second, ends_first, -2)):
            for lane in lanes_of_one if not others else ():
                tracer.trace.stay_along(lane, [lane.dim() + dim], tracer.reason("meets values that no weight made"))
    carried: list[Tensor] = []
    for value_lanes, dim in ((first, -1), (second, -2)):
        ending = _carried(value_lanes, dim, shape)
        for lane in ending:
            for old in carried:
                if set(lanes.varying(old)) & set(lanes.varying(lane)):
                    tracer.trace.meet(old, lane, tracer.reason("meets a constant"))
        carried = _widest(carried + ending)
    labels = factor(ends_first, -1, inner).labels + factor(ends_second, -2, inner).labels
    return carried, Factor(inner, labels)


def _ending(tracer: Tracer, value_lanes: Sequence[Tensor], dim: int) -> list[Tensor]:
    """Returns the lanes that vary along the contracted dimension; each batch entry of them is tied together."""
    ending = [lane for lane in value_lanes if lane.dim() + dim in lanes.varying(lane)]
    for lane in ending:
        if len(lanes.varying(lane)) > 1:
            tracer.trace.meet(lane.narrow(dim, 0, 1), lane, tracer.reason("meets a constant"))
    return ending


def _meet_inside(tracer: Tracer, first: Tensor, second: Tensor) -> None:
    """Lays the labels of (..., n, k) and (..., k, m) over each other along k, as (..., n, m, k)."""
    left, right = first.unsqueeze(-2), second.transpose(-1, -2).unsqueeze(-3)
    shape = np.broadcast_shapes(left.shape, right.shape)
    tracer.trace.lay_over(left.expand(shape), right.expand(shape), tracer.reason("meets a constant"))


def _carried(value_lanes: Sequence[Tensor], dim: int, shape: Sequence[int]) -> list[Tensor]:
    firsts = [lane.narrow(dim, 0, 1).expand(tuple(shape)) for lane in value_lanes]
    return [lane for lane in firsts if lanes.varying(lane)]


def _widest(carried: list[Tensor]) -> list[Tensor]:
    """Returns the lanes without those that vary along no other dimension than a later or wider one."""
    dims = [set(lanes.varying(lane)) for lane in carried]
    return [
        lane
        for i, lane in enumerate(carried)
        if not any(dims[i] < other or (dims[i] == other and j > i) for j, other in enumerate(dims))
    ]


def _multiply(tracer: Tracer, first: Tensor, second: Tensor, out: Tensor) -> list[Tensor]:
    """Returns the lanes of a matrix product and records its cost."""
    uniform = tracer.is_uniform(first) or tracer.is_uniform(second)
    carried, inside = contract(tracer, tracer.lanes(first), tracer.lanes(second), first.size(-1), out.shape, uniform)
    outer = [factor(carried, d, out.size(d)) for d in range(out.dim())]
    if tracer.source_of(second) is not None:
        # A weight with a batch dimension of its own, as of experts, counts that dimension among its entries.
        own = {out.dim() - 1} | set(range(out.dim() - 2) if second.dim() > 2 else ())
        weight: Tensor | None = second
    elif tracer.source_of(first) is not None:
        own = {out.dim() - 2} | set(range(out.dim() - 2) if first.dim() > 2 else ())
        weight = first
    else:
        own, weight = set(), None
    positions = [out.size(d) for d in range(out.dim()) if d not in own]
    count = 1
    for size in positions if weight is not None else [*positions, first.size(-1)]:
        count *= size
    factors = [outer[d] for d in range(out.dim()) if d not in own]
    tracer.contraction(weight, count, factors if weight is not None else [*factors, inside])
    return carried


def matrix_product(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """mm and bmm."""
    tracer.label(out, _multiply(tracer, args[0], args[1], out))


def matrix_product_and_sum(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """addmm and baddbmm: a product, then the elementwise sum with the bias."""
    tracer.label(out, _multiply(tracer, args[1], args[2], out))
    elementwise(tracer, [out, args[0]], [out])


def linear(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """linear(x, weight, bias), where it is not decomposed into a transpose and addmm."""
    value, weight = args[0], args[1]
    bias = args[2] if len(args) > 2 else kwargs.get("bias")
    matrix = (1,) * (out.dim() - 2) + (value.size(-1), out.size(-1))
    rows = [lane.t().expand(matrix) for lane in tracer.lanes(weight)]
    carried, inside = contract(tracer, tracer.lanes(value), rows, value.size(-1), out.shape)
    factors = [factor(carried, d, out.size(d)) for d in range(out.dim())]
    if tracer.source_of(weight) is not None:
        tracer.contraction(weight, out.numel() // max(1, out.size(-1)), factors[:-1])
    else:
        tracer.contraction(None, out.numel() * value.size(-1), [*factors, inside])
    tracer.label(out, carried)
    if bias is not None:
        elementwise(tracer, [out, bias], [out])


def matrix_vector(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """mv: (n, k) @ (k), which has no examples: such products of weights are not counted in costs."""
    matrix, vector = args[0], args[1]
    columns = [lane.unsqueeze(1) for lane in tracer.lanes(vector)]
    carried, _ = contract(tracer, tracer.lanes(matrix), columns, matrix.size(1), (out.size(0), 1))
    tracer.label(out, [lane.squeeze(1) for lane in carried])


def vector_product(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """dot and vdot: a sum over all entries, each of which may go, but that changes the sum."""
    first, second = args[0], args[1]
    product = torch.empty(1).expand(first.shape)
    elementwise(tracer, [first, second], [product])
    tracer.trace.renormalized += [torch.unique(lanes.compact(lane)) for lane in tracer.lanes(product)]
    tracer.label(out, [])


def attention(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Every fused form of softmax(q k^T + mask) v, on (batch, heads, tokens, channels); heads may share k and v."""
    query, key, value = args[0], args[1], args[2]
    result = out[0] if isinstance(out, (list, tuple)) else out
    shape = (*query.shape[:-1], key.size(-2))
    turned = [lane.transpose(-1, -2) for lane in _repeated(tracer, key, query)]
    scores, inside = contract(tracer, tracer.lanes(query), turned, query.size(-1), shape)
    positions = query.numel() // max(1, query.size(-1)) * key.size(-2)
    outer = [factor(scores, d, size) for d, size in enumerate(shape)]
    tracer.contraction(None, positions * query.size(-1), [*outer, inside])
    scored = torch.empty(1).expand(shape)
    tracer.label(scored, scores)
    given = arguments(func, args, kwargs)
    mask = given.get("attn_mask", given.get("attn_bias"))
    if isinstance(mask, Tensor):
        elementwise(tracer, [scored, mask], [scored])
    weights = _normalized(tracer, tracer.lanes(scored), bool(given.get("is_causal")))
    if given.get("scale") is None:  # it is then one over the root of the number of channels
        within = [lane for lane in tracer.lanes(query) if lanes.varying(lane) == (query.dim() - 1,)]
        tracer.trace.renormalized += [torch.unique(lanes.compact(lane)) for lane in within]
    carried, inside = contract(tracer, weights, _repeated(tracer, value, query), key.size(-2), result.shape)
    outer = [factor(carried, d, size) for d, size in enumerate(result.shape)]
    tracer.contraction(None, positions * value.size(-1), [*outer, inside])
    tracer.label(result, carried)


def _repeated(tracer: Tracer, shared: Tensor, query: Tensor) -> list[Tensor]:
    """Returns the lanes of keys or values, each head repeated for the queries that share it."""
    times = query.size(1) // max(1, shared.size(1))
    if times <= 1:
        return list(tracer.lanes(shared))
    return [lanes.tidy(lane.repeat_interleave(times, 1)) for lane in tracer.lanes(shared)]


def _normalized(tracer: Tracer, scores: Sequence[Tensor], is_causal: bool) -> list[Tensor]:
    """Returns the lanes of scores after a softmax over keys: keys may go where no mask counts them."""
    weights = []
    for lane in scores:
        last = lane.dim() - 1
        if last in lanes.varying(lane):
            if is_causal or len(lanes.varying(lane)) > 1:
                tracer.trace.fix(lane, tracer.reason("is normalized over"))
                continue
            tracer.trace.renormalized.append(torch.unique(lanes.compact(lane)))
        weights.append(lane)
    return weights


MATRIX_RULES: dict[str, Any] = {
    "mm": matrix_product,
    "bmm": matrix_product,
    "mv": matrix_vector,
    **dict.fromkeys(("dot", "vdot"), vector_product),
    "addmm": matrix_product_and_sum,
    "baddbmm": matrix_product_and_sum,
    "linear": linear,
    **dict.fromkeys(ATTENTION_OPS, attention),
}
