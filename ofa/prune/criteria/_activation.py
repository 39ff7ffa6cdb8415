"""Activation: a channel is worth the size of its output."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ofa.prune.context import PruneContext
from ofa.prune.criteria.outputs import mean_output
from ofa.prune.layers import Layer


def activation(context: PruneContext, layers: Sequence[Layer] | None = None) -> dict[str, Tensor]:
    """Returns the mean |output| of each output channel over images and positions, (rows,), float64.

    Measured at the output of the norm that the layer feeds, or of the layer itself. `layers`: see `norm_scale`.

    Raises:
        InvalidInput: see `mean_output`.
    Source: Molchanov et al. 2017, 1611.06440, section 2.2 ("activation"; there after the ReLU).
    """
    return mean_output(context, "activation", torch.abs, layers)
