"""Ops whose results depend on all entries along some dimensions: reductions, softmax, norms, and products.

Where such a dimension is labeled, removing a unit changes what the others become: the width is renormalized. It is
noted which labels met there, so that a reference can be computed over those that stay.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ofa.structure import lanes
from ofa.structure.op_rules.names import ATTENTION_OPS, BATCH_NORM_OPS, REDUCTION_OPS, SOFTMAX_OPS
from ofa.structure.trace import Mixing
from ofa.structure.tracer import Tracer

# Products, and the positions of their factors among the arguments.
PRODUCTS = {
    **dict.fromkeys(("mm", "bmm", "convolution", "linear", "matmul", "dot", "mv"), (0, 1)),
    **dict.fromkeys(("addmm", "baddbmm", "addmv"), (1, 2)),
}
NORMS = frozenset({"native_layer_norm", "native_group_norm", "_fused_rms_norm", *BATCH_NORM_OPS})


def arguments(func: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """Returns the arguments of an op by name."""
    named = zip((part.name for part in func._schema.arguments), args, strict=False)
    return {**dict(named), **kwargs}


def mixed_dims(func: Any, args: Any, kwargs: Any) -> tuple[int, ...]:
    """Returns the dimensions of the first operand over which a reduction, softmax or norm runs; none for others.

    Attention is scaled by the number of its queries' channels.
    """
    name = func.overloadpacket.__name__
    if not args or not isinstance(args[0], Tensor):
        return ()
    size = args[0].dim()
    if name in REDUCTION_OPS or name in SOFTMAX_OPS:
        dims = arguments(func, args, kwargs).get("dim")
        if dims is None or dims == []:
            return tuple(range(size))
        return tuple(sorted({d % max(1, size) for d in ([dims] if isinstance(dims, int) else dims)}))
    if name in ("native_layer_norm", "_fused_rms_norm"):
        return tuple(range(size - len(args[1]), size))
    if name == "native_group_norm":
        return (1,) if int(args[6]) == 1 else ()
    if name in BATCH_NORM_OPS and arguments(func, args, kwargs).get("training", False):
        return tuple(d for d in range(size) if d != 1)
    if name in ATTENTION_OPS:
        return (size - 1,)
    return ()


def is_mixing(func: Any, args: Any, kwargs: Any) -> bool:
    """Whether an op is counted among those that `note_mixing` may note."""
    return func.overloadpacket.__name__ in PRODUCTS or bool(mixed_dims(func, args, kwargs))


def note_mixing(tracer: Tracer, func: Any, args: Any, kwargs: Any) -> None:
    """Notes the labels over which an op runs: for products, those of both factors where neither is a weight."""
    if not is_mixing(func, args, kwargs):
        return
    path, name = tracer.path[-1], func.overloadpacket.__name__
    number = tracer.counts[path] = tracer.counts.get(path, -1) + 1
    dims = mixed_dims(func, args, kwargs)
    operands = [(0, args[0], dims)]
    if name in PRODUCTS:
        operands = [(i, args[i], tuple(range(args[i].dim()))) for i in PRODUCTS[name]]
        if any(tracer.source_of(value) is not None for _, value, _ in operands):
            return
    elif name in ATTENTION_OPS:
        operands.append((1, args[1], (args[1].dim() - 2,)))
    for i, value, dims in operands:
        labels = tuple(lane for lane in tracer.lanes(value) if set(lanes.varying(lane)) & set(dims))
        if labels:
            compact = tuple(lanes.compact(lane).clone() for lane in labels)
            tracer.trace.mixings[path, number, i] = Mixing(name, tuple(value.shape), dims, compact)
