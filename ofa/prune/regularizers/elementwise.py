"""Regularizers of single weights: lasso (L1), ridge (L2), their proximal steps, and L1 of norm layers' scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ofa.prune.regularizers.choosing import check_strengths, chosen, total
from ofa.prune.regularizers.regularizer import StepSize, step_size_of


@dataclass(frozen=True)
class _Elementwise:
    """A strength, and patterns of the parameters' names; () means every parameter of two dimensions or more."""

    strength: float
    select: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_strengths(type(self).__name__, {"strength": self.strength})


@dataclass(frozen=True)
class L1(_Elementwise):
    """Lasso, as a loss: strength * sum |w|. Weights shrink by equal steps; near zero they oscillate.

    Source: Tibshirani 1996, "Regression shrinkage and selection via the lasso".
    """

    def penalty(self, weights: Mapping[str, Tensor], progress: float) -> Tensor:
        """Returns the scalar penalty."""
        return self.strength * total(weight.abs().sum() for weight in chosen(weights, self.select).values())


@dataclass(frozen=True)
class L2(_Elementwise):
    """Ridge, as a loss: strength * sum w^2. Weights shrink in proportion to their size, never to zero.

    The gradient is 2 * strength * w, so an optimizer's `weight_decay` of 2 * strength is the same in plain SGD.
    Source: Hoerl and Kennard 1970, "Ridge regression".
    """

    def penalty(self, weights: Mapping[str, Tensor], progress: float) -> Tensor:
        """Returns the scalar penalty."""
        return self.strength * total(weight.square().sum() for weight in chosen(weights, self.select).values())


@dataclass(frozen=True)
class ProximalL1(_Elementwise):
    """Lasso, as a proximal step: soft thresholding, with exact zeros.

    w <- sign(w) max(0, |w| - step_size * strength).
    Source: Parikh and Boyd 2014, "Proximal algorithms".
    """

    @torch.no_grad()
    def proximal_(self, weights: Mapping[str, Tensor], step_size: StepSize, progress: float) -> None:
        """Shrinks the weights in place."""
        for name, weight in chosen(weights, self.select).items():
            weight.copy_(soft_threshold(weight, step_size_of(name, step_size) * self.strength))


@dataclass(frozen=True)
class ProximalL2(_Elementwise):
    """Ridge, as a proximal step: w <- w / (1 + 2 * step_size * strength). Stable for any strength.

    Source: Parikh and Boyd 2014, "Proximal algorithms".
    """

    @torch.no_grad()
    def proximal_(self, weights: Mapping[str, Tensor], step_size: StepSize, progress: float) -> None:
        """Shrinks the weights in place."""
        for name, weight in chosen(weights, self.select).items():
            weight.div_(1 + 2 * step_size_of(name, step_size) * self.strength)


@dataclass(frozen=True)
class NormL1(_Elementwise):
    """L1 of the scales of norm layers, as a loss: strength * sum |gamma|, so that whole channels fade.

    Without `select`: every parameter of one dimension that is called "weight". Those are the norm layers'; a model
    with PReLU or another module that has one needs `select`.
    Source: Liu et al. 2017, 1708.06519, equation 1.
    """

    def penalty(self, weights: Mapping[str, Tensor], progress: float) -> Tensor:
        """Returns the scalar penalty."""
        scales = chosen(weights, self.select, dimensions=1)
        return self.strength * total(scale.abs().sum() for scale in scales.values())


def soft_threshold(weight: Tensor, threshold: float) -> Tensor:
    """Returns sign(w) max(0, |w| - threshold), of the weight's shape."""
    return weight.sign() * (weight.abs() - threshold).clamp_min_(0)
