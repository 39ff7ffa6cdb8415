"""Prune and regrow: weights are swapped while training, at a density that stays exact in each layer."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from ofa.errors import InvalidInput
from ofa.prune.context import PruneContext
from ofa.prune.granularity._weight import swap_weights
from ofa.prune.granularity.pool import Granularity
from ofa.prune.times import Time, check_times, whole


class Regrowth(Protocol):
    """When weights are swapped, how many, and which removed ones come back. `resolved` takes it as a schedule."""

    @property
    def needs_gradient(self) -> bool:
        """Whether `scores` is given the dense gradients: those of removed weights too."""

    def fraction(self, step: int) -> float | None:
        """Returns the share of a layer's live weights that is swapped at this step, None where nothing is."""

    def scores(self, context: PruneContext, gradients: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        """Returns the score of growing each weight, by name, of the weight's shape; live weights are ignored."""


@dataclass(frozen=True)
class SET:
    """Sparse evolutionary training: each `every` steps before `until`, the smallest weights for random others.

    Attributes:
        fraction_: share of a layer's live weights that is swapped.
        every: steps between swaps; the paper swaps once per epoch.
        until: no swap at this step or later.

    Source: Mocanu et al. 2018, 1707.04780, algorithm 1.
    """

    fraction_: float = 0.3
    every: Time = 100
    until: Time = 1.0

    def __post_init__(self) -> None:
        _check_share(self, "fraction_")
        check_times(self)

    @property
    def needs_gradient(self) -> bool:
        """False."""
        return False

    def fraction(self, step: int) -> float | None:
        """Returns `fraction_` at a swap, None between."""
        return self.fraction_ if _is_due(self, step) else None

    def scores(self, context: PruneContext, gradients: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Returns uniform random numbers from the context's generator."""
        return {
            name: torch.rand(mask.shape, generator=context.generator).to(mask.device)
            for name, mask in context.masks.items()
        }


@dataclass(frozen=True)
class RigL:
    """The rigged lottery: each `every` steps before `until`, the smallest weights for those of the largest gradient.

    The share that is swapped falls as a cosine: alpha / 2 * (1 + cos(pi * step / until)).

    Attributes:
        alpha: share of a layer's live weights that the first swaps take.
        every: steps between swaps.
        until: no swap at this step or later.

    Source: Evci et al. 2020, 1911.11134, section 3.
    """

    alpha: float = 0.3
    every: Time = 100
    until: Time = 0.75

    def __post_init__(self) -> None:
        _check_share(self, "alpha")
        check_times(self)

    @property
    def needs_gradient(self) -> bool:
        """True."""
        return True

    def fraction(self, step: int) -> float | None:
        """Returns the share at a swap, None between."""
        if not _is_due(self, step):
            return None
        return self.alpha / 2 * (1 + math.cos(math.pi * step / whole(self, "until")))

    def scores(self, context: PruneContext, gradients: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        """Returns the magnitude of each weight's gradient.

        Raises:
            InvalidInput: a gradient is missing.
        """
        missing = [name for name in context.masks if gradients is None or name not in gradients]
        if gradients is None or missing:
            raise InvalidInput(f"RigL needs dense gradients; {', '.join(missing)} has none at this step")
        return {name: gradients[name].detach().abs() for name in context.masks}


def swapped(
    regrowth: Regrowth,
    fraction: float,
    context: PruneContext,
    trained: Container[str],
    gradients: Mapping[str, Tensor] | None,
    granularity: Granularity,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Returns the masks after a swap among the `trained` of the context's weights, and what grew; see `regrow`."""
    weights = {name: weight for name, weight in context.weights.items() if name in trained}
    among = replace(context, weights=weights, masks={name: context.masks[name] for name in weights})
    drop = {name: weight.detach().abs() for name, weight in context.weights.items()}
    return regrow(among, context.masks, drop, regrowth.scores(among, gradients), fraction, granularity)


def regrow(
    context: PruneContext,
    masks: Mapping[str, Tensor],
    drop_scores: Mapping[str, Tensor],
    grow_scores: Mapping[str, Tensor],
    fraction: float,
    granularity: Granularity | None = None,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Returns the masks after a swap, and what grew: bool by name, of each weight's shape.

    Only the context's weights swap; other masks come back as they are. In each weight round(fraction * live) live
    pieces go, those of the lowest drop score, and as many that were removed before come back, those of the highest
    grow score; ties by position (of equal live ones the last go). A weight with fewer removed than that swaps all
    it can, so that none is dropped only to grow again. Every weight keeps as many pieces as it had.

    Pieces are those of the granularity, and single weights where it is None. One whose pieces depend on each other, as
    n of m consecutive weights do, has a method `swap(mask, drop_scores, grow_scores, fraction)` that returns what stays
    and what grows in a weight.

    Raises:
        InvalidInput: the fraction is not between 0 and 1.
    """
    if not 0 <= fraction <= 1:
        raise InvalidInput(f"fraction={fraction!r} of the live weights to swap must be between 0 and 1")
    swap = swap_weights if granularity is None else getattr(granularity, "swap", None)
    if swap is None:
        assert granularity is not None
        return _swap_pieces(context, masks, drop_scores, grow_scores, fraction, granularity)
    after, grown = dict(masks), {}
    for name in context.weights:
        stay, grown[name] = swap(masks[name], drop_scores[name], grow_scores[name], fraction)
        after[name] = stay | grown[name]
    return after, grown


def _swap_pieces(
    context: PruneContext,
    masks: Mapping[str, Tensor],
    drop_scores: Mapping[str, Tensor],
    grow_scores: Mapping[str, Tensor],
    fraction: float,
    granularity: Granularity,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The swap of whole pieces; a piece is live while any of its weights is."""
    growth = {name: grow_scores.get(name, torch.zeros_like(score)) for name, score in drop_scores.items()}
    removed = {name: ~mask for name, mask in masks.items()}
    stays, grows = [], []
    drop, grow = granularity.gather(drop_scores, masks), granularity.gather(growth, removed)
    for pool, of_live, of_gone in zip(granularity.pools, drop, grow, strict=True):
        alive = of_live > -math.inf
        pace = fraction if pool.name in context.weights else 0.0
        stay, grown = swap_weights(alive, of_live, of_gone, pace)
        stays.append(stay)
        grows.append(grown)
    staying, growing = granularity.spread(stays), granularity.spread(grows)
    after, new = dict(masks), {}
    for name in context.weights:
        if name in staying:
            new[name] = growing[name].to(masks[name].device)
            after[name] = (masks[name] & staying[name].to(masks[name].device)) | new[name]
    return after, new


def _is_due(regrowth: SET | RigL, step: int) -> bool:
    return 0 < step < whole(regrowth, "until") and step % whole(regrowth, "every") == 0


def _check_share(regrowth: SET | RigL, name: str) -> None:
    value = getattr(regrowth, name)
    if not 0 <= value <= 1:
        raise InvalidInput(f"{type(regrowth).__name__}: {name}={value!r} is a share; it must be between 0 and 1")
