"""The agent of one layer: tries which filters can go, and learns from what the tries are worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ofa.prune.learned.filter_policy import FilterPolicy, advantages, draw, reinforce_loss

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
    """Returns the trial of the highest reward that keeps a filter, and a row an update; `policy` learns in place.

    `attempt` says what an action, bool (units,), is worth; each action is tried once.
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
