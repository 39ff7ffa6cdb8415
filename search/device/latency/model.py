"""LatencyModel: ms of an Arch from its closed-form costs, with the error on held-out networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from ofa._cost import cost
from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.records import AtLeastOne, Fraction, NotNegative, Part
from search.device.latency.block_table import BlockTable
from search.device.timing import Floats

if TYPE_CHECKING:
    from ofa.supernet import Supernet

# The number of float32 weights in 2 MB, a common size of a core's cache. A block timed alone finds its weights there.
# In a network the earlier blocks have evicted them; a large block's weights do not fit even alone.
NEAR_PARAMS = 2**19


def features_of(supernet: Supernet, table: BlockTable | None, archs: Sequence[Arch]) -> dict[str, Floats]:
    """Returns float64 (archs,) by name: the costs of `ofa.cost`,
    "near_params", and the sums of a block table where there is one."""
    costs = {name: np.asarray(values, dtype=np.float64) for name, values in cost(supernet, archs).items()}
    costs["near_params"] = np.minimum(costs["params"], NEAR_PARAMS)
    return costs if table is None else costs | table.sums(archs)


INTERCEPT = "intercept"
Costs = Mapping[str, Any]  # name to array (N,), as `ofa.cost` returns


class HeldOut(Part, frozen=True, kw_only=True):
    """The errors of predictions on networks left out of the fit; fractions, 0.02 is 2 %."""

    mape: NotNegative  # mean absolute relative error
    within_10: Fraction  # of networks predicted within 10 %
    largest: NotNegative  # largest absolute relative error
    spearman: Annotated[float, Meta(ge=-1 - 1e-6, le=1 + 1e-6)]  # rank correlation, with a tolerance for rounding
    networks: AtLeastOne

    @classmethod
    def of(cls, predicted: Floats, measured: Floats) -> HeldOut:
        """Returns the errors of predictions (N,) in ms against measurements (N,)."""
        errors = np.abs(predicted / measured - 1)
        return cls(
            mape=float(errors.mean()),
            within_10=float((errors <= 0.1).mean()),
            largest=float(errors.max()),
            spearman=spearman(predicted, measured),
            networks=len(measured),
        )


class FitRecord(Part, frozen=True, kw_only=True):
    """A LatencyModel in a profile's file."""

    form: Literal["linear"]
    coefficients: Mapping[str, float]
    held_out: HeldOut
    macs_only: HeldOut

    def __post_init__(self) -> None:
        if INTERCEPT not in self.coefficients:
            raise ValueError(f"coefficients must have {INTERCEPT!r}")


@dataclass(frozen=True)
class LatencyModel:
    """ms = intercept + sum of coefficient * cost. Only ever shown with `held_out_error`."""

    coefficients: Mapping[str, float]  # by name of cost, in ms per unit; with "intercept" in ms
    held_out: HeldOut  # every network predicted by a fit that did not see it, the choice of costs included
    macs_only: HeldOut  # the same for a fit on MACs alone, to compare with

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

    @property
    def record(self) -> FitRecord:
        """The model as a profile's file holds it."""
        return FitRecord(
            form="linear", coefficients=self.coefficients, held_out=self.held_out, macs_only=self.macs_only
        )

    @classmethod
    def of(cls, record: FitRecord) -> LatencyModel:
        """Returns the model that a profile's file holds."""
        return cls(record.coefficients, record.held_out, record.macs_only)


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
    """Returns the rank correlation of two arrays (N,); equal values share a rank, and for a constant it is 0."""
    ranks = [_ranks(values) for values in (first, second)]
    spreads = [float(np.std(values)) for values in ranks]
    if min(spreads) == 0.0:
        return 0.0
    return float(np.mean((ranks[0] - ranks[0].mean()) * (ranks[1] - ranks[1].mean())) / (spreads[0] * spreads[1]))


def _ranks(values: Floats) -> Floats:
    order = np.argsort(values, kind="stable")
    _, inverse, counts = np.unique(values[order], return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = np.empty(len(values))
    ranks[order] = ((ends - 0.5 * (counts - 1)) - 1)[inverse]
    return ranks
