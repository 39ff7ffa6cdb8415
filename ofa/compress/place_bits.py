"""The bits that say where weights are: few where many weights of a row or column are kept, many where few are."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LOG_2 = math.log(2)
_SMOOTHING = 0.4  # of a weight, that each row and column counts beside its own


def place_bits(mask: Tensor) -> Tensor:
    """Returns how many more bits a place takes as a kept one than as a removed one, float64 (rows, columns).

    Rows are the first dimension, columns all others. The chance of a kept place multiplies the odds of its row and its
    column, as of independent ones: about what `ofa.compress.save` learns on the way of a stays. Negative where more
    than half are kept.

    Args:
        mask: True is kept; of any shape. One of fewer than two dimensions is one row.
    """
    stays = mask.reshape(mask.shape[0] if mask.dim() > 1 else 1, -1).double()
    mean = stays.mean().clamp(1e-6, 1 - 1e-6)
    rows, columns = (((stays.sum(dim) + _SMOOTHING * mean) / (stays.shape[dim] + _SMOOTHING)).logit() for dim in (1, 0))
    if stays.shape[0] == 1 or stays.shape[1] == 1:
        return torch.full_like(stays, -float(mean.logit()) / LOG_2)
    return -(rows[:, None] + columns - mean.logit()) / LOG_2
