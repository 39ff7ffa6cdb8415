"""Which weights stay from one level of a lottery run to the next: the largest of the remaining ones."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ofa.errors import InvalidInput, nearest
from ofa.prune.selection import keep_best
from ofa.prune.weights import matches

SCOPES = ("layer", "global")


def largest_left(
    trained: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    density: float,
    rates: Mapping[str, float] | None = None,
    scope: str = "layer",
) -> dict[str, Tensor]:
    """Returns masks of the largest |w| among what `masks` keep, by name, bool.

    With scope "layer" a layer of n weights keeps round(n * density^r), r being its rate, that of the last pattern of
    `rates` that matches, else 1: at 0.5 it is pruned at about half the pace, at 0 never. With "global" all layers are
    ranked as one, apart from those of rate 0, and keep round(n * density) of their n. Removed weights stay removed;
    every layer keeps at least one weight.

    Source: Frankle and Carbin 2019, 1803.03635, section 2 (there the last layer at half the rate).

    Raises:
        InvalidInput: an unknown scope, a rate below 0 or above 1 or of no weight, or with "global" one between.
    """
    pace = _rates(masks, rates or {}, scope)
    if scope == "layer":
        return {
            name: _best(trained[name], mask, round(mask.numel() * density ** pace[name]))
            for name, mask in masks.items()
        }
    ranked = [name for name, mask in masks.items() if pace[name] > 0 and bool(mask.any())]
    if not ranked:
        return dict(masks)
    scores = torch.cat([_with_first(_scores(trained[name], masks[name])) for name in ranked])
    alive = sum(int(masks[name].sum()) for name in ranked)
    count = max(len(ranked), min(alive, round(len(scores) * density)))
    parts = torch.split(keep_best(scores, count), [masks[name].numel() for name in ranked])
    ranked_masks = {name: part.reshape(masks[name].shape) for name, part in zip(ranked, parts, strict=True)}
    return {name: ranked_masks.get(name, mask) for name, mask in masks.items()}


def _best(weight: Tensor, mask: Tensor, count: int) -> Tensor:
    alive = int(mask.sum())
    return keep_best(_scores(weight, mask), min(alive, max(1, count))).reshape(mask.shape)


def _scores(weight: Tensor, mask: Tensor) -> Tensor:
    """|w| of each weight that is left, -inf of each that is gone, flat."""
    return weight.detach().abs().masked_fill(~mask, -torch.inf).reshape(-1)


def _with_first(scores: Tensor) -> Tensor:
    """The scores with the best at inf: ranked before all others, so no layer becomes empty."""
    raised = scores.clone()
    raised[scores.argmax()] = torch.inf
    return raised


def _rates(masks: Mapping[str, Tensor], rates: Mapping[str, float], scope: str) -> dict[str, float]:
    """The rate of each layer."""
    if scope not in SCOPES:
        raise InvalidInput(f"scope={scope!r} is unknown; {nearest(scope, SCOPES)}")
    for pattern, rate in rates.items():
        if not any(matches(name, pattern) for name in masks):
            raise InvalidInput(f"rates has {pattern!r}, which matches no pruned weight; {nearest(pattern, masks)}")
        if not 0 <= rate <= 1 or (scope == "global" and rate not in (0, 1)):
            rule = "0 or 1 with scope='global'" if scope == "global" else "between 0 and 1"
            raise InvalidInput(f"rates has {rate!r} for {pattern!r}; it must be {rule}")
    return {
        name: [1.0, *(float(rate) for pattern, rate in rates.items() if matches(name, pattern))][-1] for name in masks
    }
