"""Statistics of batch norms, moved into their scales and shifts: half of what norms take in a file."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from ofa.norms import BatchNorm

Net = TypeVar("Net", bound=nn.Module)


def fold_norm_statistics_(model: Net) -> Net:
    """Returns the model, its batch norms in place with mean 0 and variance 1, and scales and shifts to match.

    In eval mode it answers as before but for rounding. It is the last step before a file: training measures statistics
    anew, to which the scales would no longer fit. Norms without statistics, or without scale and shift, stay as they
    are.

    Source: the algebra of Jacob et al. 2018, 1712.05877, section 3.2, within the norm itself, so that weights keep
    the values that they share.
    """
    with torch.no_grad():
        for norm in model.modules():
            if not isinstance(norm, BatchNorm) or not norm.affine:
                continue
            mean, variance = norm.running_mean, norm.running_var
            if mean is not None and variance is not None:
                scale = norm.weight.double() / (variance.double() + norm.eps).sqrt()
                norm.bias.copy_(norm.bias.double() - mean.double() * scale)
                norm.weight.copy_(scale * (1 + norm.eps) ** 0.5)
                norm.reset_running_stats()
    return model
