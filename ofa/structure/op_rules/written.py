"""Writing in place into a part of a tensor: the labels written show in every tensor that shares its memory."""

from __future__ import annotations

import torch
from torch import Tensor

from ofa.structure import lanes
from ofa.structure.trace import Lanes
from ofa.structure.tracer import Tracer


def write_through(tracer: Tracer, value: Tensor, before: Lanes, *, uniform: bool) -> None:
    """Labels the tensors that an in-place op changed along with `value`, which had the lanes `before`.

    What is not written keeps its labels, or is constant. Labels are fixed where they vary along several things at once.

    Args:
        tracer: of the run. value: what was written. before: its lanes until then.
        uniform: whether one number was written everywhere.
    """
    whole = value.untyped_storage().nbytes() // max(1, value.element_size())
    is_part = value.numel() < whole
    if is_part or not uniform:
        tracer.unset_uniform(value)
    written = tracer.lanes(value)
    if not is_part or len(written) <= len(before):
        return
    others = [other for other in tracer.sharing_memory(value) if other.dtype == value.dtype]
    if len(written) > 1 or before or any(len(tracer.lanes(other)) > 1 for other in others):
        for lane in written:
            tracer.trace.fix(lane, tracer.reason("is written into part of another tensor"))
        return
    for other in others:
        memory = torch.full((whole,), lanes.CONSTANT)
        for tensor in (other, value):
            for lane in tracer.lanes(tensor):
                _part(memory, tensor).copy_(lane)
        tracer.label(other, [lanes.tidy(_part(memory, other).clone())])


def _part(memory: Tensor, tensor: Tensor) -> Tensor:
    """The entries of memory that a tensor shows."""
    return memory.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
