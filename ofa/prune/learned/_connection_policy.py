"""A policy over connections: reinforcement learning of which buckets of weights stay, within a budget that is exact."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput, is_number, is_whole
from ofa.prune.learned._learn_connections import LearnedConnections
from ofa.prune.learned._try_and_learn import accuracy_of
from ofa.prune.learned.filter_policy import advantages, draw, reinforce_loss
from ofa.prune.learned.gates import best_of
from ofa.prune.weights import prunable_weights

_EDGES = (
    0.25,
    0.5,
    0.75,
    1.0,
    1.5,
    2.0,
    4.0,
    8.0,
)  # of buckets, in multiples of the density, from the largest weights on
_SURE = 1.5  # logit at the start of a bucket that magnitude keeps


def learn_connection_policy(
    model: nn.Module,
    evaluate: Callable[[nn.Module], float],
    density: float,
    *,
    saliency: Mapping[str, Tensor] | None = None,
    keep: Sequence[str] = (),
    updates: int = 30,
    samples: int = 8,
    learning_rate: float = 0.1,
    seed: int = 0,
    progress: Callable[[Mapping[str, Any]], None] | None = None,
) -> LearnedConnections:
    """Returns the connections of the highest score that a policy met; the model itself does not change.

    The connections of each layer fall into buckets by size, fine about the density, and each of these in two by
    `saliency`. The policy is a probability to stay for every bucket. A sample draws which buckets stay; then exactly
    round(density * n) connections do: those of buckets that stay, the largest first, then the largest others. The score
    of the network without the rest is the reward, with the mean of the other samples as baseline. At the start the most
    probable buckets are those of magnitude, which is the first network that is tried, so the answer is at least as
    good on the same examples.

    Args:
        evaluate: score of a network, 0 to 1, of which more is better; equal networks must have equal scores.
        density: fraction kept.
        saliency: a second measure of each weight by name, such as |weight * gradient|; None: size alone.
        keep: globs of layers or weights that stay whole.
        updates, samples: of the policy, and networks tried in each.
        learning_rate: of the policy, by Adam.
        progress: called with each row of the history.

    Source: Williams 1992 (REINFORCE); the setting is that of Huang et al. 2018, 1801.07365, for connections in place of
    filters.

    Raises:
        InvalidInput: a density outside (0, 1], no updates, or a score outside [0, 1].
    """
    if not is_number(density) or not 0 < density <= 1:
        raise InvalidInput(f"density={density!r}: give a fraction above 0 and at most 1")
    if not is_whole(updates, 1) or not is_whole(samples, 1):
        raise InvalidInput(f"updates={updates!r}, samples={samples!r}: give whole numbers, at least 1")
    weights = {name: weight.detach() for name, weight in prunable_weights(model, keep).items()}
    sizes = {name: weight.abs() for name, weight in weights.items()}
    buckets, count = _buckets(sizes, saliency, density)
    started = best_of(sizes, density)
    logits = _starting_logits(buckets, count, started).requires_grad_(True)
    optimizer = torch.optim.Adam([logits], lr=learning_rate)
    generator = torch.Generator().manual_seed(seed)

    def score_of(masks: Mapping[str, Tensor]) -> float:
        net = copy.deepcopy(model)
        with torch.no_grad():
            for name, mask in masks.items():
                net.get_parameter(name).mul_(mask)
        return accuracy_of(evaluate, net)

    best, best_score = started, score_of(started)
    known: dict[bytes, float] = {}
    history: list[dict[str, Any]] = []
    for update in range(updates):
        actions = draw(logits, samples, generator)
        rewards = []
        for action in actions:
            key = action.numpy().tobytes()
            if key not in known:
                masks = _chosen(action, buckets, sizes, density)
                known[key] = score_of(masks)
                if known[key] > best_score:
                    best, best_score = masks, known[key]
            rewards.append(known[key])
        gained = torch.tensor(rewards, dtype=torch.float64)
        spread = gained.std(correction=0).clamp_min(1e-6)  # so that the learning rate suits any score
        optimizer.zero_grad()
        torch.autograd.backward(reinforce_loss(logits, actions, advantages(gained, None) / spread))
        optimizer.step()
        history.append({"update": update, "mean_reward": float(gained.mean()), "best": best_score})
        if progress is not None:
            progress(history[-1])
    return LearnedConnections(best, tuple(history))


def _buckets(
    sizes: Mapping[str, Tensor], saliency: Mapping[str, Tensor] | None, density: float
) -> tuple[dict[str, Tensor], int]:
    """The number of each connection's bucket, and how many buckets there are."""
    edges = torch.tensor([edge * density for edge in _EDGES if edge * density < 1])
    numbers, first = {}, 0
    for name, size in sizes.items():
        flat = size.reshape(-1).cpu()
        rank = torch.empty(len(flat), dtype=torch.long)
        rank[flat.argsort(descending=True, stable=True)] = torch.arange(len(flat))
        bucket = torch.bucketize((rank + 0.5) / len(flat), edges)
        if saliency is not None:
            bucket = 2 * bucket
            values = saliency[name].reshape(-1).cpu()
            for number in torch.unique(bucket):
                inside = bucket == number
                bucket[inside] += (values[inside] > values[inside].median()).long()
        numbers[name] = (bucket + first).reshape(size.shape)
        first += (len(edges) + 1) * (1 if saliency is None else 2)
    return numbers, first


def _starting_logits(buckets: Mapping[str, Tensor], count: int, masks: Mapping[str, Tensor]) -> Tensor:
    """Logits of each bucket, in proportion to the share of it that `masks` keep, from -1.5 to 1.5."""
    total, live = torch.zeros(count), torch.zeros(count)
    for name, bucket in buckets.items():
        total += torch.bincount(bucket.reshape(-1), minlength=count)
        live += torch.bincount(bucket[masks[name].cpu()], minlength=count)
    return _SURE * (2 * live / total.clamp_min(1) - 1)


def _chosen(
    action: Tensor, buckets: Mapping[str, Tensor], sizes: Mapping[str, Tensor], density: float
) -> dict[str, Tensor]:
    """Masks of exactly the budget: buckets that stay come before all others, larger weights before smaller ones."""
    largest = max(float(size.max()) for size in sizes.values())
    scores = {name: size + 2 * largest * action[buckets[name]].to(size) for name, size in sizes.items()}
    return best_of(scores, density)
