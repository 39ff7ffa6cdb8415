"""The agent of try-and-learn: from a layer's filters a probability for each to stay, trained by REINFORCE."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa.errors import InvalidInput
from ofa.prune.learned.ddpg import linear_layer
from ofa.prune.units import producers
from ofa.structure.coupling import Group

if TYPE_CHECKING:
    from ofa.supernet import Supernet

_HIDDEN = 24


def unit_features(supernet: Supernet, group: Group, model: nn.Module) -> Tensor:
    """Returns what the policy reads of a group: (units, features) float32 on the CPU, each column standardized.

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
        InvalidInput: a probability outside (0, 1).
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
    losses = unlikely if counted is None else unlikely * counted
    return (advantages.to(logits) * losses.sum(dim=1)).mean()


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


BASELINES = ("mean", "self_critical")
_SURE = 0.49  # every probability is then below 0.01 or above 0.99


@dataclass(frozen=True)
class Trial:
    """One network that was tried: the units its layer kept, its reward, its accuracy, and itself."""

    keep: Tensor
    reward: float
    accuracy: float
    net: nn.Module


def train_agent(
    policy: FilterPolicy,
    attempt: Callable[[Tensor], Trial],
    *,
    updates: int,
    samples: int,
    learning_rate: float,
    baseline: str,
    generator: torch.Generator,
) -> tuple[Trial, list[dict[str, float]]]:
    """Returns the trial of the highest reward that keeps a filter, and one row per update; `policy` learns in place.

    `attempt` rates an action, bool (units,); each distinct action is tried once.
    """
    best = attempt(torch.ones(len(policy.features), dtype=torch.bool))
    rewards_of = {best.keep.numpy().tobytes(): best.reward}

    def reward_of(keep: Tensor) -> float:
        nonlocal best
        key = keep.numpy().tobytes()
        if key not in rewards_of:
            trial = attempt(keep)
            rewards_of[key] = trial.reward
            if trial.reward > best.reward and bool(keep.any()):
                best = trial  # only this one's network is kept in memory
        return rewards_of[key]

    optimizer = torch.optim.Adam(policy.parameters(), lr=learning_rate)
    rows: list[dict[str, float]] = []
    for update in range(updates):
        logits = policy()
        actions = draw(logits, samples, generator)
        rewards = torch.tensor([reward_of(keep) for keep in actions], dtype=torch.float64)
        probable = logits.detach() >= 0
        greedy = reward_of(probable)
        optimizer.zero_grad()
        gained = advantages(rewards, greedy if baseline == "self_critical" else None)
        torch.autograd.backward(reinforce_loss(logits, actions, gained))
        optimizer.step()
        counts = {"update": update, "greedy_kept": int(probable.sum())}
        rows.append({**counts, "mean_reward": float(rewards.mean()), "greedy_reward": greedy})
        if float((torch.sigmoid(logits.detach()) - 0.5).abs().min()) > _SURE:
            break
    return best, rows
