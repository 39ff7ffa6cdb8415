"""Gates: a learned number for each connection, what it multiplies the weight by, and what it is worth in the end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ofa.errors import InvalidInput
from ofa.prune.selection import keep_best

Numbers = Mapping[str, Tensor]


class Gates(Protocol):
    """How the numbers of connections start, and what they do in a step; all mappings are by the name of the weight."""

    def start(self, weights: Numbers) -> dict[str, Tensor]:
        """Returns the numbers at the start, of each weight's shape."""

    def factors(self, numbers: Numbers, density: float, generator: torch.Generator) -> dict[str, Tensor]:
        """Returns what the weights of a training step are multiplied by, with gradients of the numbers."""

    def open_share(self, numbers: Numbers) -> Tensor | None:
        """Returns the expected share of gates that are open, a scalar with gradient; None where `density` sets it."""

    def final_factors(self, numbers: Numbers) -> dict[str, Tensor]:
        """Returns what the kept weights are multiplied by when the gates go."""


@dataclass(frozen=True)
class HardConcrete:
    """Random gates in [0, 1] that are exactly 0 and 1 with a probability that is learned: L0 regularization.

    z = min(1, max(0, s (high - low) + low)), s = sigmoid((log u - log(1 - u) + number) / temperature), u uniform.
    The open share is the mean of sigmoid(number - temperature * log(-low / high)), whose multiplier `learn_connections`
    finds.

    Source: Louizos et al. 2018, 1712.01312, equations 10 to 12.

    Attributes:
        temperature, low, high: of the distribution.
        initial: probability that a gate of a weight of mean size is open at the start. The paper's gates start alike;
            here the number is shifted by the logarithm of the weight's size over the mean, so that a trained network
            is not thrown away.
    """

    temperature: float = 2 / 3
    low: float = -0.1
    high: float = 1.1
    initial: float = 0.9

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and self.low < 0 and self.high > 1 and 0 < self.initial < 1):
            raise InvalidInput(
                f"HardConcrete temperature={self.temperature!r}, low={self.low!r}, high={self.high!r}, "
                f"initial={self.initial!r}: must be above 0, below 0, above 1, and between 0 and 1"
            )

    @property
    def _shift(self) -> float:
        return self.temperature * math.log(-self.low / self.high)

    def start(self, weights: Numbers) -> dict[str, Tensor]:
        """Returns logits of `initial`, higher for larger weights."""
        middle = math.log(self.initial / (1 - self.initial)) + self._shift
        return {name: middle + torch.log(_relative(weight).clamp_min(1e-6)) for name, weight in weights.items()}

    def factors(self, numbers: Numbers, density: float, generator: torch.Generator) -> dict[str, Tensor]:
        """Returns random gates."""
        drawn = {}
        for name, number in numbers.items():
            uniform = torch.rand(number.shape, generator=generator).to(number).clamp(1e-6, 1 - 1e-6)
            drawn[name] = self._stretched(torch.sigmoid((torch.logit(uniform) + number) / self.temperature))
        return drawn

    def open_share(self, numbers: Numbers) -> Tensor:
        """Returns the mean probability that a gate is not 0."""
        shares = [torch.sigmoid(number - self._shift).sum() for number in numbers.values()]
        return torch.stack(shares).sum() / sum(number.numel() for number in numbers.values())

    def final_factors(self, numbers: Numbers) -> dict[str, Tensor]:
        """Returns the gates without noise (equation 13)."""
        return {name: self._stretched(torch.sigmoid(number)) for name, number in numbers.items()}

    def _stretched(self, values: Tensor) -> Tensor:
        return (values * (self.high - self.low) + self.low).clamp(0, 1)


@dataclass(frozen=True)
class StraightThrough:
    """The best numbers are 1, all others 0, and the gradient passes as if each were its own gate: weights may return.

    dL/dnumber = dL/d(weight * gate) * weight, whether the gate is open or not, and the weight itself only moves while
    it is open.

    Source: Sanh et al. 2020, 2005.07683, section 4 (movement pruning). There the numbers start at 0; here at the size
    of the weight over the mean of its layer, so that the first gates are those of magnitude.
    """

    def start(self, weights: Numbers) -> dict[str, Tensor]:
        """Returns each weight's size over the mean of its layer."""
        return {name: _relative(weight) for name, weight in weights.items()}

    def factors(self, numbers: Numbers, density: float, generator: torch.Generator) -> dict[str, Tensor]:
        """Returns 1 for the best `density` of all, 0 for the others."""
        masks = best_of(numbers, density)
        return {name: masks[name].to(number) + (number - number.detach()) for name, number in numbers.items()}

    def open_share(self, numbers: Numbers) -> None:
        """None: the density is given."""

    def final_factors(self, numbers: Numbers) -> dict[str, Tensor]:
        """Returns 1 everywhere."""
        return {name: torch.ones_like(number) for name, number in numbers.items()}


def best_of(numbers: Numbers, density: float) -> dict[str, Tensor]:
    """Returns masks, bool, of the best `density` of all connections together; every weight keeps its best one."""
    flat = [number.detach().reshape(-1).clone() for number in numbers.values()]
    for values in flat:
        values[values.argmax()] = torch.inf
    total = sum(len(values) for values in flat)
    best = keep_best(torch.cat(flat), max(len(flat), round(density * total)))
    keep = torch.split(best, [len(values) for values in flat])
    return {name: part.reshape(number.shape) for (name, number), part in zip(numbers.items(), keep, strict=True)}


def _relative(weight: Tensor) -> Tensor:
    sizes = weight.detach().abs()
    return sizes / sizes.mean().clamp_min(1e-12)
