"""Group lasso and sparse group lasso: whole neurons and filters become exactly zero."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.prune.regularizers.choosing import added, check_strengths, chosen, strength_of, with_bias
from ofa.prune.regularizers.elementwise import soft_threshold


@dataclass(frozen=True)
class GroupLasso:
    """sum over layers l of strength_l * sqrt(P_l) * sum over groups of |w_g|, the norm not squared.

    A group is what goes into one neuron or filter: a row (dimension 0) of the weight and that entry of its bias; P_l
    is its size. Of a norm layer that `select` names it is a scale and its shift. Groups do not overlap, so the
    proximal step is exact. `layers` gives layers another strength by patterns of the weight's name, the first that
    matches; 0 leaves a layer alone, as the last one wants, whose rows are classes. Rows of a transposed convolution
    are its inputs, not its filters: give it 0.

    Source: Alvarez and Salzmann 2016, 1611.06321, section 3; Yuan and Lin 2006 for the group lasso.

    Attributes:
        strength: of every layer that no pattern in `layers` matches.
        layers: strengths by pattern.
        select: patterns of the weights' names; () means every parameter of two dimensions or more.
    """

    strength: float
    layers: Mapping[str, float] = field(default_factory=dict)
    select: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_strengths(type(self).__name__, {"strength": self.strength, **self.layers})

    def penalty(self, weights: Mapping[str, Tensor], progress: float) -> Tensor:
        """Returns the scalar penalty; its gradient is 0 in a group of zeros."""
        return added(_group_terms(_layers(self, weights)))

    @torch.no_grad()
    def proximal_(self, weights: Mapping[str, nn.Parameter], step_size: float, progress: float) -> None:
        """Shrinks each group's norm by step_size * strength * sqrt(P), in place; a group that is shorter becomes 0."""
        for weight, bias, strength in _layers(self, weights):
            _shrink_groups_(weight, bias, step_size * strength)


@dataclass(frozen=True)
class SparseGroupLasso:
    """(1 - alpha) * group lasso + alpha * lasso: neurons that are zero, and single zeros in those that are left.

    sum over layers of strength_l * ((1 - alpha) sqrt(P_l) sum_g |w_g| + alpha |w|_1), groups and fields as in
    `GroupLasso`; the bias counts in both terms. The proximal step is soft thresholding, then the group's.

    Source: Alvarez and Salzmann 2016, 1611.06321, section 3; Simon et al. 2013, "A sparse-group lasso".

    Attributes:
        strength: of every layer that no pattern in `layers` matches.
        alpha: share of the lasso, 0 to 1.
        layers: strengths by pattern.
        select: patterns of the weights' names; () means every parameter of two dimensions or more.
    """

    strength: float
    alpha: float = 0.5
    layers: Mapping[str, float] = field(default_factory=dict)
    select: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_strengths(type(self).__name__, {"strength": self.strength, **self.layers})
        if not 0 <= self.alpha <= 1:
            raise InvalidInput(f"SparseGroupLasso alpha={self.alpha!r}: must be between 0 and 1")

    def penalty(self, weights: Mapping[str, Tensor], progress: float) -> Tensor:
        """Returns the scalar penalty; its gradient is 0 where weights are 0."""
        layers = list(_layers(self, weights))
        single = (
            strength * held.abs().sum()
            for weight, bias, strength in layers
            for held in (weight, bias)
            if held is not None
        )
        return (1 - self.alpha) * added(_group_terms(layers)) + self.alpha * added(single)

    @torch.no_grad()
    def proximal_(self, weights: Mapping[str, nn.Parameter], step_size: float, progress: float) -> None:
        """Thresholds each weight, then shrinks each group, in place."""
        for weight, bias, strength in _layers(self, weights):
            for held in (weight, bias):
                if held is not None:
                    held.copy_(soft_threshold(held, step_size * self.alpha * strength))
            _shrink_groups_(weight, bias, step_size * (1 - self.alpha) * strength)


def _layers(
    settings: GroupLasso | SparseGroupLasso, weights: Mapping[str, Tensor]
) -> Iterator[tuple[Tensor, Tensor | None, float]]:
    """Weight, bias and strength of each layer that has a strength."""
    strengths = tuple(settings.layers.items())
    chosen(weights, tuple(settings.layers))  # refuses a pattern of no layer
    for name, weight, bias in with_bias(weights, chosen(weights, settings.select)):
        strength = strength_of(name, strengths, settings.strength)
        if strength > 0:
            yield weight, bias, strength


def _group_terms(layers: Iterable[tuple[Tensor, Tensor | None, float]]) -> Iterator[Tensor]:
    """The penalty of each layer."""
    for weight, bias, strength in layers:
        groups = _groups(weight, bias)
        yield strength * math.sqrt(groups.shape[1]) * torch.linalg.vector_norm(groups, dim=1).sum()


def _groups(weight: Tensor, bias: Tensor | None) -> Tensor:
    """One group a row: (rows, P)."""
    rows = weight.reshape(len(weight), -1)
    return rows if bias is None else torch.cat([rows, bias[:, None]], dim=1)


def _shrink_groups_(weight: Tensor, bias: Tensor | None, threshold: float) -> None:
    """Multiplies each group by max(0, 1 - threshold sqrt(P) / norm), in place."""
    groups = _groups(weight, bias)
    length = torch.linalg.vector_norm(groups, dim=1)
    limit = threshold * math.sqrt(groups.shape[1])
    factor = torch.where(length > limit, 1 - limit / length, torch.zeros_like(length))
    weight.mul_(factor.reshape(-1, *[1] * (weight.dim() - 1)))
    if bias is not None:
        bias.mul_(factor)
