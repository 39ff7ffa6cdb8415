"""Standard deviations: a weight relative to the spread of its layer."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ofa.errors import InvalidInput, nearest
from ofa.prune.context import PruneContext
from ofa.prune.weights import matches

# Far below any standard deviation, and far enough above zero that no score overflows float32.
SMALLEST = 1e-30


def std_threshold(context: PruneContext, quality: float | Mapping[str, float] = 1.0) -> dict[str, Tensor]:
    """Returns |w| / (quality * std) of each weight, of the weight's shape.

    `std` is the population standard deviation of the layer's live weights. Below 1 lies what the rule of Han
    et al. removes, |w| < quality * std: with the allocation `threshold(1.0)` it is that rule, and with others
    the layers compete in units of their own threshold. `quality` is a number, or numbers by globs of weights or
    layers: the last that matches counts, and 1 where none does. `sensitivity_scan` and `qualities` measure them.

    Raises:
        InvalidInput: a quality that is not above 0, or a pattern that matches no weight.
    Source: Han et al. 2015, 1506.02626, section 4 ("a quality parameter multiplied by the standard deviation").
    """
    by_pattern: Mapping[str, float] = quality if isinstance(quality, Mapping) else {"*": quality}
    for pattern, factor in by_pattern.items():
        if not (factor > 0 and math.isfinite(factor)):
            raise InvalidInput(f"std_threshold quality={factor!r} for {pattern!r} must be a number above 0")
        if not any(matches(name, pattern) for name in context.weights):
            raise InvalidInput(f"quality={pattern!r} matches no weight; {nearest(pattern, context.weights)}")
    scores = {}
    for name, weight in context.weights.items():
        factor = ([1.0] + [value for pattern, value in by_pattern.items() if matches(name, pattern)])[-1]
        threshold = factor * live_std(weight, context.masks[name])
        sizes = weight.detach().abs()
        scores[name] = sizes.to(torch.promote_types(sizes.dtype, torch.float32)) / max(threshold, SMALLEST)
    return scores


def live_std(weight: Tensor, mask: Tensor) -> float:
    """Returns the population standard deviation of the weights under `mask` (bool, the weight's shape).

    It is 0 where no weight is left.
    """
    live = weight.detach() if bool(mask.all()) else weight.detach()[mask]  # an index is slow
    return float(live.double().std(correction=0)) if live.numel() else 0.0
