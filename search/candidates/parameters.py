"""Parameters: what a joint search decides besides the Arch; each has a name, values and conditions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from ofa.errors import InvalidInput, is_number, nearest
from search.run.cards import Setting

DIGITS = 4  # significant digits of a number: the value printed in a table is the value used
When = tuple[tuple[str, tuple[Setting, ...]], ...]


@dataclass(frozen=True)
class OneOf:
    """A parameter that takes one of several values; the first is its default.

    `when` names earlier parameters, and for each the values with which this parameter is active.
    """

    name: str
    values: tuple[Setting, ...]
    when: When = ()

    def __post_init__(self) -> None:
        if not self.values or len(set(map(repr, self.values))) < len(self.values):
            raise InvalidInput(f"parameter {self.name}: values {list(self.values)} must be distinct, at least one")

    @property
    def default(self) -> Setting:
        """The value that a search starts from."""
        return self.values[0]

    @property
    def count(self) -> float:
        """The number of values."""
        return len(self.values)

    def every(self) -> Sequence[Setting]:
        """Returns all values."""
        return self.values

    @property
    def distribution(self) -> BaseDistribution:
        """The distribution that Optuna draws from."""
        return CategoricalDistribution(self.values)

    def sample(self, rng: np.random.Generator) -> Setting:
        """Returns a value, drawn uniformly."""
        return self.values[int(rng.integers(len(self.values)))]

    def mutate(self, value: Setting, rng: np.random.Generator) -> Setting:
        """Returns another value, or the same if it is the only one."""
        others = [other for other in self.values if other != value]
        return others[int(rng.integers(len(others)))] if others else value

    def check(self, value: Any) -> Setting:
        """Returns the value, checked.

        Raises:
            InvalidInput: the value is not valid for this parameter.
        """
        if value not in self.values:
            raise InvalidInput(f"parameter {self.name}={value!r}: {nearest(str(value), map(str, self.values))}")
        return self.values[self.values.index(value)]

    def encode(self, value: Setting | None) -> list[float]:
        """Returns the value one-hot, one number per value; all 0 for an inactive parameter."""
        return [float(value is not None and other == value) for other in self.values]


@dataclass(frozen=True)
class Number:
    """A parameter that is a number from `low` to `high`, drawn on a logarithmic scale if `log`.

    `whole` allows only whole numbers. Without a `start` the default lies in the middle.
    """

    name: str
    low: float
    high: float
    log: bool = False
    whole: bool = False
    start: float | None = None
    when: When = ()

    def __post_init__(self) -> None:
        ends = (self.low, self.high) if self.start is None else (self.low, self.high, self.start)
        if not all(math.isfinite(end) for end in ends) or not self.low < self.high or (self.log and self.low <= 0):
            raise InvalidInput(
                f"parameter {self.name}: {self.low} to {self.high} must rise, and lie above 0 on a logarithmic scale"
            )
        if self.whole and any(end != int(end) for end in ends):
            raise InvalidInput(f"parameter {self.name}: {self.low} to {self.high} must be whole numbers")
        if self.start is not None and not self.low <= self.start <= self.high:
            raise InvalidInput(f"parameter {self.name}: its start {self.start} is not in {self.low} to {self.high}")

    @property
    def default(self) -> Setting:
        """The value that a search starts from."""
        return self.at(0.5) if self.start is None else self._rounded(self.start)

    @property
    def count(self) -> float:
        """The number of values."""
        return self.high - self.low + 1 if self.whole else math.inf

    def every(self) -> Sequence[Setting]:
        """Returns all values of a parameter of whole numbers; none otherwise, as they cannot be enumerated."""
        return range(int(self.low), int(self.high) + 1) if self.whole else ()

    @property
    def distribution(self) -> BaseDistribution:
        """The distribution that Optuna draws from."""
        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def sample(self, rng: np.random.Generator) -> Setting:
        """Returns a value, drawn uniformly on its scale."""
        return self.at(float(rng.random()))

    def mutate(self, value: Setting, rng: np.random.Generator) -> Setting:
        """Returns a nearby value: a normal step with a standard deviation of a tenth of the range."""
        return self.at(float(np.clip(self._position(value) + rng.normal(0, 0.1), 0, 1)))

    def check(self, value: Any) -> Setting:
        """Returns the value, checked and rounded.

        Raises:
            InvalidInput: it is not a number, or out of range.
        """
        if not is_number(value) or not self.low <= value <= self.high or (self.whole and value != int(value)):
            kind = "a whole number" if self.whole else "a number"
            raise InvalidInput(f"parameter {self.name}={value!r} must be {kind} from {self.low:g} to {self.high:g}")
        return self._rounded(float(value))

    def encode(self, value: Setting | None) -> list[float]:
        """Returns the value's position on its scale, 0 to 1; the middle for an inactive parameter."""
        return [0.5 if value is None else self._position(value)]

    def _ends(self) -> tuple[float, float]:
        return (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)

    def at(self, position: float) -> Setting:
        """Returns the value at a position on the scale, 0 for `low` to 1 for `high` (the inverse of `encode`)."""
        low, high = self._ends()
        value = low + position * (high - low)
        return self._rounded(math.exp(value) if self.log else value)

    def _position(self, value: Setting) -> float:
        low, high = self._ends()
        return ((math.log(float(value)) if self.log else float(value)) - low) / (high - low)

    def _rounded(self, value: float) -> Setting:
        if self.whole:
            return round(min(max(value, self.low), self.high))
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)


Parameter = OneOf | Number


def is_active(parameter: Parameter, settings: Mapping[str, Setting]) -> bool:
    """Returns whether a parameter is active given the settings of earlier parameters."""
    return all(settings.get(name) in values for name, values in parameter.when)


def check_parameters(parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """Returns the parameters, checked.

    Raises:
        InvalidInput: a repeated name, or a condition on something else than an earlier parameter and its values.
    """
    earlier: dict[str, Parameter] = {}
    for parameter in parameters:
        if parameter.name in earlier or "." in parameter.name:
            raise InvalidInput(f"parameter {parameter.name!r}: names must be distinct, and without dots")
        for name, values in parameter.when:
            other = earlier.get(name)
            if not isinstance(other, OneOf):
                known = [choice.name for choice in earlier.values() if isinstance(choice, OneOf)]
                hint = nearest(name, known) if known else "there is none before it"
                raise InvalidInput(f"parameter {parameter.name} counts when {name} is ...: no earlier choice; {hint}")
            for value in values:
                other.check(value)
        earlier[parameter.name] = parameter
    return tuple(parameters)
