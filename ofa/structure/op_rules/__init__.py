"""What each ATen op does to labels: one small function per family of ops, and a table at the end.

Movement is done to the labels by the very same op. Elementwise ops tie the labels that lie over each other.
A contraction ties the incoming labels to the weight's in-indices and issues its out-indices. An op without a
rule fixes every label that reaches it, with that reason, so nothing is ever guessed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ofa.structure.chance import is_chance
from ofa.structure.op_rules._elementwise import constant, elementwise, no_value, overwritten
from ofa.structure.op_rules._movement import (
    concatenate,
    copy_into,
    copy_type,
    movement,
    movement_in_place,
    restride,
    stack,
    view,
)
from ofa.structure.op_rules.matrix_products import MATRIX_RULES
from ofa.structure.op_rules.mixing import note_mixing
from ofa.structure.op_rules.names import (
    CONSTANT_OPS,
    ELEMENTWISE_OPS,
    MOVEMENT_OPS,
    NO_VALUE_OPS,
    POOL_OPS,
    REDUCTION_OPS,
    SOFTMAX_OPS,
    VIEW_OPS,
)
from ofa.structure.op_rules.positions import along_dim, pad, pool, reduction
from ofa.structure.op_rules.products import PRODUCT_RULES
from ofa.structure.op_rules.residual import carry
from ofa.structure.op_rules.tables import TABLE_RULES
from ofa.structure.op_rules.transforms import TRANSFORM_RULES
from ofa.structure.op_rules.written import write_through
from ofa.structure.tracer import Tracer


def apply(tracer: Tracer, func: Any, args: Any, kwargs: Any, inputs: list[Tensor], out: Any) -> None:
    """Labels the outputs of one op."""
    outputs = [value for value in (out if isinstance(out, (list, tuple)) else [out]) if isinstance(value, Tensor)]
    name = func.overloadpacket.__name__
    rule = RULES.get(name)
    before = {id(value): tracer.lanes(value) for value in outputs}
    for value in outputs:
        if id(value) not in {id(tensor) for tensor in inputs}:
            tracer.label(value, ())
    note_mixing(tracer, func, args, kwargs)
    uniform = is_chance(func) or name in ("fill_", "zero_") or all(tracer.is_uniform(value) for value in inputs)
    pointwise = name in ELEMENTWISE_OPS or torch.Tag.pointwise in func.tags or _is_pointwise_in_place(func)
    carry(tracer, func, inputs, outputs, pointwise=pointwise)
    if is_chance(func):
        _chance(tracer, inputs, outputs)
    elif rule is not None:
        rule(tracer, func, args, kwargs, out)
    elif pointwise:
        elementwise(tracer, inputs, outputs)
    elif any(tracer.lanes(value) for value in inputs):
        for value in inputs:
            for lane in tracer.lanes(value):
                tracer.trace.fix(lane, tracer.reason("meets an op without a rule"))
    for value in outputs:
        if any(value is tensor for tensor in inputs) and func._schema.is_mutable:
            write_through(tracer, value, before[id(value)], uniform=uniform)


def _chance(tracer: Tracer, inputs: list[Tensor], outputs: list[Tensor]) -> None:
    """Draws are replaced by one constant; what is drawn into keeps its labels, and dropout those of its input."""
    for value in outputs:
        if not any(value is tensor for tensor in inputs):
            tracer.label(value, tracer.lanes(inputs[0]) if tracer.op == "aten.native_dropout" else ())
        if not tracer.lanes(value) and tracer.op != "aten.native_dropout":
            tracer.set_uniform(value)


def _is_pointwise_in_place(func: Any) -> bool:
    """Whether this is the in-place form of a pointwise op (the tag is often missing there)."""
    name = func.overloadpacket.__name__
    if not name.endswith("_"):
        return False
    twin = getattr(torch.ops.aten, name[:-1], None)
    overload = getattr(twin, func._overloadname, None) if twin is not None else None
    return name[:-1] in ELEMENTWISE_OPS or (overload is not None and torch.Tag.pointwise in overload.tags)


RULES: dict[str, Any] = {
    **PRODUCT_RULES,
    **MATRIX_RULES,
    **TABLE_RULES,
    **TRANSFORM_RULES,
    **dict.fromkeys(MOVEMENT_OPS, movement),
    **dict.fromkeys(VIEW_OPS, view),
    **dict.fromkeys(POOL_OPS, pool),
    **dict.fromkeys(REDUCTION_OPS, reduction),
    **dict.fromkeys(CONSTANT_OPS, constant),
    **dict.fromkeys(NO_VALUE_OPS, no_value),
    **dict.fromkeys(SOFTMAX_OPS, along_dim),
    **dict.fromkeys(
        ("_to_copy", "to", "lift_fresh", "dropout", "tril", "triu", "bucketize", "rrelu_with_noise"), copy_type
    ),
    **dict.fromkeys(("transpose_", "t_", "squeeze_", "unsqueeze_", "swapaxes_"), movement_in_place),
    **dict.fromkeys(("as_strided", "as_strided_"), restride),
    **dict.fromkeys(("zero_", "fill_"), overwritten),
    "copy_": copy_into,
    "cat": concatenate,
    "stack": stack,
    "constant_pad_nd": pad,
}
