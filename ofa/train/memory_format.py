"""The layout of images and convolutions in memory: channels last, with which 16-bit convolutions of GPUs are faster."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ofa.inputs import as_inputs
from ofa.task import Batch


def channels_last_(model: nn.Module) -> None:
    """Lays out weights and buffers of four dimensions with channels last, in place: (N, C, H, W) as N, H, W, C."""
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def batch_channels_last(batch: Batch) -> Batch:
    """Returns a batch whose inputs of four dimensions have channels last in memory."""
    inputs = batch.inputs
    return batch._replace(inputs=_laid_out(inputs) if isinstance(inputs, Tensor) else as_inputs(inputs).map(_laid_out))


def _laid_out(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
