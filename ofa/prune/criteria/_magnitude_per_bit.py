"""Magnitude for its bits: a weight is worth its square, divided by the bits that it takes in a file."""

from __future__ import annotations

import torch
from torch import Tensor

from ofa.compress.place_bits import place_bits
from ofa.prune.context import PruneContext


def magnitude_per_bit(context: PruneContext, value_bits: float = 2.5, least_bits: float = 1.0) -> dict[str, Tensor]:
    """Returns w^2 / bits of each weight, of its shape.

    The bits are those that the weight takes more than a removed one in a file of `ofa.compress.save`, by how many
    weights are alive in its row and column. A weight that is alone in them goes before one of the same magnitude that
    has neighbors: the file of as many weights is smaller.

    Args:
        value_bits: that the value takes, beside the place.
        least_bits: that a weight takes, however dense its row and column are.

    Source: rate-distortion optimization as in DeepCABAC (Wiedemann et al. 2019, 1905.08318), here for masks.
    """
    scores = {}
    for name, weight in context.weights.items():
        mask = context.masks.get(name)
        alive = torch.ones_like(weight, dtype=torch.bool) if mask is None else mask
        bits = (place_bits(alive) + value_bits).clamp_min(least_bits).reshape(weight.shape)
        scores[name] = weight.detach().double().square() / bits.to(weight.device)
    return scores
