"""Sampling by magnitude: large weights are likelier to stay."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ofa.errors import InvalidInput
from ofa.prune.context import PruneContext


def probabilistic(context: PruneContext, temperature: float = 1.0) -> dict[str, Tensor]:
    """Returns log|w| + temperature * Gumbel noise, of each weight's shape, float64.

    The best k of these scores are k weights drawn one after the other without replacement, each with probability
    proportional to |w|**(1 / temperature) among what is left: always exactly k. Temperature 0 is
    magnitude, a large one is random. (The order is that of log|w| / temperature + noise, which would overflow
    near 0.) A weight of 0 goes first.

    Raises:
        InvalidInput: a temperature that is not a number of 0 or more.
    Source: Kool et al. 2019, 1903.06059, section 2.3 (Gumbel top-k). Han et al. 2015, 1506.02626, found pruning
    by probability worse than by threshold.
    """
    if not (temperature >= 0 and math.isfinite(temperature)):
        raise InvalidInput(f"probabilistic temperature={temperature!r} must be a number of 0 or more")
    scores = {}
    for name, weight in context.weights.items():
        waiting = torch.empty(weight.shape, dtype=torch.float64).exponential_(generator=context.generator)
        gumbel = -waiting.clamp(min=torch.finfo(torch.float64).tiny).log()
        # log 0 is cut off far below the smallest float's -745, so that it stays last and finite.
        scores[name] = weight.detach().abs().double().log().clamp(min=-1e9) + temperature * gumbel.to(weight.device)
    return scores
