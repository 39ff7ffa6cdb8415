"""A loss that draws weights to whole multiples of a step, so that quantizing them later costs little."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ofa.errors import InvalidInput, is_whole
from ofa.prune.regularizers.choosing import check_strengths, chosen, total


@dataclass(frozen=True)
class IntegerAttracting:
    """strength * ramp * sum sin^2(pi w / delta): zero where w is a multiple of delta, largest half way between.

    Each layer has its own delta = max |w| / (2^(bits - 1) - 1), recomputed in every step and not differentiated:
    with delta = 1 almost every weight (|w| < 1/2) would only go to 0. The gradient is
    strength * ramp * pi / delta * sin(2 pi w / delta). A removed weight, 0, stays.

    Source: Elthakeb et al. 2019, 1905.01416 (SinReQ), with the step taken from the layer's largest weight.

    Attributes:
        strength: once the ramp is over.
        bits: of the signed integers, 2 or more; levels are -(2^(bits - 1) - 1) ... 2^(bits - 1) - 1.
        ramp: progress at which the strength starts to grow from 0, and at which it is full.
        select: patterns of the weights' names; () means every parameter of two dimensions or more.
    """

    strength: float
    bits: int = 8
    ramp: tuple[float, float] = (0.0, 1.0)
    select: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_strengths(type(self).__name__, {"strength": self.strength})
        if not is_whole(self.bits, 2, 16):
            raise InvalidInput(f"IntegerAttracting bits={self.bits!r}: must be a whole number from 2 to 16")
        if len(self.ramp) != 2 or not 0 <= self.ramp[0] <= self.ramp[1] <= 1:
            raise InvalidInput(f"IntegerAttracting ramp={self.ramp!r}: give (begin, end) with 0 <= begin <= end <= 1")

    def penalty(self, weights: Mapping[str, Tensor], progress: float) -> Tensor:
        """Returns the scalar penalty at this progress."""
        ramped = self.strength * self.ramped(progress)
        terms = chosen(weights, self.select).values()
        return ramped * total((math.pi / step_of(w, self.bits) * w).sin().square().sum() for w in terms)

    def ramped(self, progress: float) -> float:
        """Returns the share of the strength at this progress: 0 up to ramp[0], 1 from ramp[1] on, linear between."""
        begin, end = self.ramp
        if begin == end:
            return float(progress >= end)
        return min(1.0, max(0.0, (progress - begin) / (end - begin)))


def step_of(weight: Tensor, bits: int) -> Tensor:
    """Returns delta, a scalar without gradient: the step of a layer's `bits`-bit signed integers; above 0."""
    largest = weight.detach().abs().amax() / (2 ** (bits - 1) - 1)
    # Of a layer of zeros the step must not be 0: then 0 / 0 would be its penalty.
    delta: Tensor = largest.clamp_min(4 * torch.finfo(weight.dtype).tiny)
    return delta
