"""What is compared of a network's outputs: one tensor, whatever it returns."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ofa.inputs import named_outputs


def answer_of(outputs: Any, examples: int) -> Tensor:
    """Returns the only tensor of a network's outputs, or that named `logits`; else all of them side by side.

    That is (N, 1, numbers): of each example the numbers of all tensors that have a row for each.
    """
    if isinstance(outputs, Tensor):
        return outputs
    named = named_outputs(outputs)
    if "logits" in named:
        return named["logits"]
    tensors = [tensor for tensor in named.values() if tensor.dim() and len(tensor) == examples]
    return tensors[0] if len(named) == 1 else torch.cat([tensor.flatten(1).float() for tensor in tensors], 1)[:, None]
