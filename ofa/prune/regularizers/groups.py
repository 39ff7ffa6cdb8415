"""Group lasso and sparse group lasso: whole neurons and filters become exactly zero."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ofa.errors import InvalidInput
from ofa.prune.regularizers.choosing import check_strengths, chosen, strength_of, total, with_bias
from ofa.prune.regularizers.elementwise import soft_threshold
from ofa.prune.regularizers.regularizer import StepSize, step_size_of

_NEWTON_STEPS = 40


@dataclass(frozen=True)
class GroupLasso:
    """sum over layers l of strength_l * sqrt(P_l) * sum over groups of |w_g|, the norm not squared.

    A group is what goes into one neuron or filter: a row (dimension 0) of the weight and that entry of its bias; P_l
    is its size. Of a norm layer that `select` names it is a scale and its shift. Groups do not overlap, so the
    proximal step is exact, also where a bias has another learning rate than its weight. Parameters that are not
    trained are in no group. `layers` gives layers another strength by patterns of the weight's name, the first that
    matches; 0 leaves a layer alone, as suits the last one, whose rows are classes. Rows of a transposed convolution
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
        return total(_group_terms(_layers(self, weights)))

    @torch.no_grad()
    def proximal_(self, weights: Mapping[str, Tensor], step_size: StepSize, progress: float) -> None:
        """Shrinks each group's norm by step_size * strength * sqrt(P), in place; a group that is shorter becomes 0."""
        for layer in _layers(self, weights, step_size):
            _shrink_groups_(layer, layer.strength)


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
        single = (layer.strength * parameter.abs().sum() for layer in layers for parameter, _ in layer.parameters())
        return (1 - self.alpha) * total(_group_terms(layers)) + self.alpha * total(single)

    @torch.no_grad()
    def proximal_(self, weights: Mapping[str, Tensor], step_size: StepSize, progress: float) -> None:
        """Thresholds each weight, then shrinks each group, in place."""
        for layer in _layers(self, weights, step_size):
            for parameter, step in layer.parameters():
                parameter.copy_(soft_threshold(parameter, step * self.alpha * layer.strength))
            _shrink_groups_(layer, (1 - self.alpha) * layer.strength)


@dataclass(frozen=True, eq=False)
class _Layer:
    """A weight and its bias, (rows,), with the strength of their groups and the step sizes of either."""

    weight: Tensor
    bias: Tensor | None
    strength: float
    weight_step: float
    bias_step: float

    def parameters(self) -> Iterator[tuple[Tensor, float]]:
        """Yields the parameters with their step sizes."""
        yield self.weight, self.weight_step
        if self.bias is not None:
            yield self.bias, self.bias_step


def _layers(
    settings: GroupLasso | SparseGroupLasso, weights: Mapping[str, Tensor], step_size: StepSize = 1.0
) -> Iterator[_Layer]:
    """Each layer that has a strength."""
    strengths = tuple(settings.layers.items())
    chosen(weights, tuple(settings.layers))  # refuses a pattern of no layer
    for name, weight, bias in with_bias(weights, chosen(weights, settings.select)):
        strength = strength_of(name, strengths, settings.strength)
        if strength > 0:
            of_weight = step_size_of(name, step_size)
            of_bias = step_size_of(f"{name.removesuffix('weight')}bias", step_size)
            if of_weight:
                yield _Layer(weight, bias if of_bias else None, strength, of_weight, of_bias)


def _group_terms(layers: Iterable[_Layer]) -> Iterator[Tensor]:
    """The penalty of each layer."""
    for layer in layers:
        groups = _groups(layer.weight, layer.bias)
        yield layer.strength * math.sqrt(groups.shape[1]) * torch.linalg.vector_norm(groups, dim=1).sum()


def _groups(weight: Tensor, bias: Tensor | None) -> Tensor:
    """One group per row: (rows, P)."""
    rows = weight.reshape(len(weight), -1)
    return rows if bias is None else torch.cat([rows, bias[:, None]], dim=1)


def _shrink_groups_(layer: _Layer, strength: float) -> None:
    """Multiplies each group by max(0, 1 - step size * strength * sqrt(P) / norm), in place."""
    weight, bias = layer.weight, layer.bias
    groups = _groups(weight, bias)
    scaled = strength * math.sqrt(groups.shape[1])
    if bias is not None and layer.bias_step != layer.weight_step:
        factor, bias_factor = _factors_of_two_steps(layer, bias, scaled)
    else:
        length = torch.linalg.vector_norm(groups, dim=1)
        limit = layer.weight_step * scaled
        factor = bias_factor = torch.where(length > limit, 1 - limit / length, torch.zeros_like(length))
    weight.mul_(factor.reshape(-1, *[1] * (weight.dim() - 1)))
    if bias is not None:
        bias.mul_(bias_factor)


def _factors_of_two_steps(layer: _Layer, bias: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """What each row of a weight and its bias are multiplied by where their step sizes a and b are not the same.

    v = argmin |v_w - w|^2 / 2a + (v_b - c)^2 / 2b + strength |v| is 0 where |(w / a, c / b)| <= strength; elsewhere
    v_w = w n / (n + a strength) and v_b likewise, n = |v| being the root of |v(n)| = n. Newton's steps from below rise
    to it, since |v(n)|^2 / n^2 is convex and falls.
    """
    rows = layer.weight.reshape(len(layer.weight), -1)
    squares = torch.stack([rows.double().square().sum(dim=1), bias.double().square()])
    steps = torch.tensor([[layer.weight_step], [layer.bias_step]], dtype=torch.float64, device=squares.device)
    limits = steps * strength
    length = (squares.sum(dim=0).sqrt() - limits.max()).clamp_min(0.0)
    for _ in range(_NEWTON_STEPS):
        below = (length + limits).clamp_min(torch.finfo(torch.float64).tiny)
        excess = (squares / below.square()).sum(dim=0) - 1
        length = length + (excess / (2 * squares / below.pow(3)).sum(dim=0).clamp_min(1e-300)).clamp_min(0.0)
    dead = (squares / steps.square()).sum(dim=0) <= strength**2
    factors = (length / (length + limits)).masked_fill(dead, 0.0).nan_to_num(0.0).to(bias.dtype)
    return factors[0], factors[1]
