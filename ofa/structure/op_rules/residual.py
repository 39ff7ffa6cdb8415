"""The residual stream: how far the argument of a module reaches, and where something is added to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ofa.structure.op_rules.names import BATCH_NORM_OPS, MOVEMENT_OPS, VIEW_OPS
from ofa.structure.tracer import Flow, Tracer

_SUMS = ("add", "add_", "sub", "sub_", "addcmul", "addcmul_", "lerp", "lerp_", "_foreach_add")
_COPIES = ("_to_copy", "to", "lift_fresh", "native_dropout", "dropout", *MOVEMENT_OPS, *VIEW_OPS)
_NORMS = ("native_layer_norm", "native_group_norm", "rms_norm", "_fused_rms_norm", *BATCH_NORM_OPS)


def carry(tracer: Tracer, func: Any, inputs: Sequence[Tensor], outputs: Sequence[Tensor], *, pointwise: bool) -> None:
    """Sets what reaches the outputs of one op.

    An argument survives ops of single values, copies, and another form of the same values; a sum with another
    tensor of its shape makes it a residual sum. That survives a norm too, as in norm(x + f(x)); an argument does not,
    since a block whose stream starts at a norm of its own would leave that norm out.
    """
    name = func.overloadpacket.__name__
    for out in outputs:
        if name in _COPIES:
            tracer.set_flow(out, tracer.flow(inputs[0]) if inputs and inputs[0].numel() == out.numel() else {})
        elif name in _NORMS and inputs and inputs[0].shape == out.shape:
            tracer.set_flow(out, {key: True for key, added in tracer.flow(inputs[0]).items() if added})
        elif pointwise:
            alike = [value for value in inputs if value.shape == out.shape]
            tracer.set_flow(out, _merged(tracer, alike, is_sum=name in _SUMS))


def _merged(tracer: Tracer, operands: Sequence[Tensor], *, is_sum: bool) -> Flow:
    is_residual = is_sum and sum(tracer.source_of(value) is None for value in operands) > 1
    merged: Flow = {}
    for value in operands:
        for key, added in tracer.flow(value).items():
            merged[key] = merged.get(key, False) or added or is_residual
    return merged
