"""The policy of try-and-learn: reads a layer's filters, gives each a probability to stay; learns by REINFORCE."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa.coupling import Group
from ofa.errors import InvalidInput
from ofa.prune.learned.linear_layer import linear_layer
from ofa.prune.units import producers

if TYPE_CHECKING:
    from ofa.supernet import Supernet

_HIDDEN = 24


def unit_features(supernet: Supernet, group: Group, model: nn.Module) -> Tensor:
    """Returns what the policy reads of a group: (units, features) float32 on the CPU, each column standardised.

    A row holds the unit's weights in the layers that make its channels, and its biases and norm weights.
    `model` has the weights and the structure of the supernet's.
    """
    parameters = dict(model.named_parameters())
    making = producers(supernet, group)
    columns = []
    for member in group.members:
        weight = parameters.get(member.source)
        if weight is None or (weight.dim() >= 2 and member.source not in making):
            continue
        rows = weight.detach().float().cpu().movedim(member.dim, 0).flatten(1) if weight.dim() > 1 else None
        values = rows if rows is not None else weight.detach().float().cpu()[:, None]
        columns.append(values[torch.from_numpy(member.index)].flatten(1))
    if not columns:
        return torch.zeros(group.units, 1)
    table = torch.cat(columns, dim=1)
    return (table - table.mean(dim=0)) / table.std(dim=0, correction=0).clamp_min(1e-12)


class FilterPolicy(nn.Module):
    """Logits of keeping each filter: two layers over the filter's weights, and a free number for each filter.

    The published agent runs four 7x7 convolutions over the matrix of all filters, which needs large layers; this
    one takes any layer, and the free numbers let it tell equal filters apart.

    Args:
        features: see `unit_features`, (units, features).
        initial_keep: probability to stay at the start, of every filter.
        generator: draws the first weights.

    Raises:
        InvalidInput: a probability that is not between 0 and 1.
    """

    features: Tensor

    def __init__(self, features: Tensor, initial_keep: float, generator: torch.Generator) -> None:
        super().__init__()
        if not 0 < initial_keep < 1:
            raise InvalidInput(f"initial_keep={initial_keep!r}: give a probability above 0 and below 1")
        self.register_buffer("features", features)
        self.first = linear_layer(features.shape[1], _HIDDEN, features.shape[1] ** -0.5, generator)
        # Zeros, so that every filter starts with the same probability.
        self.last = nn.Parameter(torch.zeros(_HIDDEN))
        self.free = nn.Parameter(torch.full((len(features),), math.log(initial_keep / (1 - initial_keep))))

    def forward(self) -> Tensor:
        """Returns the logits, (units,)."""
        read: Tensor = torch.tanh(self.first(self.features)) @ self.last
        return read + self.free


def draw(logits: Tensor, samples: int, generator: torch.Generator) -> Tensor:
    """Returns which filters stay in each sample, bool (samples, units), each drawn on its own."""
    probabilities = torch.sigmoid(logits.detach()).expand(samples, -1)
    return torch.bernoulli(probabilities, generator=generator).bool()


def reinforce_loss(logits: Tensor, actions: Tensor, advantages: Tensor, counted: Tensor | None = None) -> Tensor:
    """Returns -mean over samples of advantage * log probability of the sample, whose gradient is REINFORCE's.

    Args:
        logits: of keeping each filter, (units,).
        actions: what each sample kept, bool (samples, units).
        advantages: reward less baseline, (samples,).
        counted: where a decision was made at all, bool (samples, units); None: everywhere.

    Source: Williams 1992; Huang et al. 2018, 1801.07365.
    """
    wide = logits.expand(len(actions), -1)
    unlikely = functional.binary_cross_entropy_with_logits(wide, actions.to(logits), reduction="none")
    each = unlikely if counted is None else unlikely * counted
    return (advantages.to(logits) * each.sum(dim=1)).mean()


def advantages(rewards: Tensor, greedy: float | None) -> Tensor:
    """Returns the rewards (samples,) less a baseline that does not depend on the sample itself.

    With `greedy`, the reward of the most probable action, the baseline is that (self-critical: Rennie et al.
    2017, 1612.00563); without, each sample's is the mean of the others.
    """
    if greedy is not None:
        return rewards - greedy
    if len(rewards) == 1:
        return rewards
    return rewards - (rewards.sum() - rewards) / (len(rewards) - 1)
