"""LatencyModel: ms of an Arch from its closed-form costs, with its error on networks that it did not see."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ofa.errors import InvalidInput
from search.device.timing import Floats

INTERCEPT = "intercept"
Costs = Mapping[str, Any]  # name to array (N,), as `ofa.cost` returns


@dataclass(frozen=True)
class HeldOut:
    """How predictions did on networks left out of the fit; fractions, 0.02 being 2 %."""

    mape: float  # mean absolute relative error
    within_10: float  # fraction of networks predicted within 10 %
    largest: float  # largest absolute relative error
    spearman: float  # rank correlation
    networks: int

    @classmethod
    def of(cls, predicted: Floats, measured: Floats) -> HeldOut:
        """Returns the errors of predictions (N,) in ms against what was measured (N,)."""
        errors = np.abs(predicted / measured - 1)
        return cls(
            mape=float(errors.mean()),
            within_10=float((errors <= 0.1).mean()),
            largest=float(errors.max()),
            spearman=spearman(predicted, measured),
            networks=len(measured),
        )


@dataclass(frozen=True)
class LatencyModel:
    """ms = intercept + sum of coefficient * cost. Only ever shown with `held_out_error`."""

    coefficients: Mapping[str, float]  # by name of cost, in ms a unit; with "intercept" in ms
    held_out: HeldOut  # every network predicted by a fit that did not see it, the choice of costs included
    macs_only: HeldOut  # the same of a fit on MACs alone: a model that is not better says so

    @property
    def form(self) -> tuple[str, ...]:
        """The costs that the model uses."""
        return tuple(name for name in self.coefficients if name != INTERCEPT)

    @property
    def held_out_error(self) -> float:
        """Mean absolute relative error on networks left out of the fit, a fraction."""
        return self.held_out.mape

    def predict(self, costs: Costs) -> Floats:
        """Returns ms (N,) at batch 1 for costs (N,) by name, as `ofa.cost(supernet, archs)` gives them.

        Raises:
            InvalidInput: a cost that the model uses is missing.
        """
        return linear(self.coefficients, costs)

    def to_dict(self) -> dict[str, Any]:
        """The model as JSON-able values."""
        return {
            "form": "linear",
            "coefficients": dict(self.coefficients),
            "held_out": dict(vars(self.held_out)),
            "macs_only": dict(vars(self.macs_only)),
        }

    @classmethod
    def from_dict(cls, value: Any) -> LatencyModel:
        """Returns the model that `to_dict` wrote.

        Raises:
            InvalidInput: a field is missing, unknown or not a finite number.
        """
        if not isinstance(value, Mapping) or value.get("form") != "linear":
            raise InvalidInput(f"a latency model needs form 'linear', not {value!r:.60}")
        coefficients = numbers(value.get("coefficients"), "coefficients")
        if INTERCEPT not in coefficients:
            raise InvalidInput(f"coefficients must have {INTERCEPT!r}")
        return cls(coefficients, _held_out(value, "held_out"), _held_out(value, "macs_only"))


def linear(coefficients: Mapping[str, float], costs: Costs) -> Floats:
    """Returns intercept + sum of coefficient * cost (N,).

    Raises:
        InvalidInput: a cost is missing.
    """
    names = [name for name in coefficients if name != INTERCEPT]
    if missing := [name for name in names if name not in costs]:
        raise InvalidInput(f"the latency model needs the costs {', '.join(missing)}, and was given {', '.join(costs)}")
    if not names:
        return np.full(len(next(iter(costs.values()))), coefficients[INTERCEPT])
    columns = np.stack([np.asarray(costs[name], dtype=np.float64) for name in names], axis=1)
    total: Floats = columns @ np.array([coefficients[name] for name in names]) + coefficients[INTERCEPT]
    return total


def spearman(first: Floats, second: Floats) -> float:
    """Returns the rank correlation of two arrays (N,); equal values share a rank, and a constant gives 0."""
    ranks = [_ranks(values) for values in (first, second)]
    spreads = [float(np.std(values)) for values in ranks]
    if min(spreads) == 0.0:
        return 0.0
    return float(np.mean((ranks[0] - ranks[0].mean()) * (ranks[1] - ranks[1].mean())) / (spreads[0] * spreads[1]))


def numbers(value: Any, name: str) -> dict[str, float]:
    """Returns a JSON object of finite numbers.

    Raises:
        InvalidInput: it is something else.
    """
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{name} must be an object of numbers, not {value!r:.60}")
    for key, number in value.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise InvalidInput(f"{name}.{key} = {number!r} must be a finite number")
    return {str(key): float(number) for key, number in value.items()}


def _held_out(value: Mapping[str, Any], name: str) -> HeldOut:
    found = numbers(value.get(name), name)
    fields: Sequence[str] = tuple(HeldOut.__dataclass_fields__)
    if set(found) != set(fields):
        raise InvalidInput(f"{name} must have {', '.join(fields)}, not {', '.join(found) or 'nothing'}")
    return HeldOut(**{**found, "networks": int(found["networks"])})  # type: ignore[arg-type]


def _ranks(values: Floats) -> Floats:
    order = np.argsort(values, kind="stable")
    _, inverse, counts = np.unique(values[order], return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = np.empty(len(values))
    ranks[order] = ((ends - 0.5 * (counts - 1)) - 1)[inverse]
    return ranks
