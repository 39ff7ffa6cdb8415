"""Latency models: ms of an Arch from closed-form costs, judged on held-out networks; and of one with parts in int8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from ofa._cost import cost, cost_of_parts
from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.records import AtLeastOne, Fraction, NotNegative, Part
from search.candidates.mixtures import Groups, group_of
from search.device.latency.block_table import BlockTable
from search.device.latency.blocks import Block, find_blocks
from search.device.latency.pieces import block_holds
from search.device.timing import Floats

if TYPE_CHECKING:
    from ofa.supernet import Supernet
    from search.device.profile import Profile

# The number of float32 weights in 2 MB, a common size of a core's cache. A block timed alone finds its weights there.
# In a network the earlier blocks have evicted them; a large block's weights do not fit even alone.
NEAR_PARAMS = 2**19
INTERCEPT = "intercept"
Costs = Mapping[str, Any]  # name to array (N,), as `ofa.cost` returns
Bools = np.ndarray[Any, np.dtype[np.bool_]]


def features_of(supernet: Supernet, table: BlockTable | None, archs: Sequence[Arch]) -> dict[str, Floats]:
    """Returns float64 (archs,) by name: the costs of `ofa.cost`,
    "near_params", and the sums of a block table where there is one."""
    costs = {name: np.asarray(values, dtype=np.float64) for name, values in cost(supernet, archs).items()}
    costs["near_params"] = np.minimum(costs["params"], NEAR_PARAMS)
    return costs if table is None else costs | table.sums(archs)


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


class MixedLatency:
    """The sum of parts: of the time in float32 what the blocks in float32 have of it, of that in int8 the others' part.

    Where a block in int8 follows one in float32, or the other way round, values are converted. That takes half of
    what two blocks in int8 save in a row, beyond what two in float32 save: alone each converts its input and output.
    Parts are those of the blocks that were timed alone, or of MACs where the profiles have not timed the same ones.

    Args:
        usual, quick: the profiles in float32 and in int8.
        groups: globs of layers by the group's name; a block is in the group of its first layer.
    """

    def __init__(self, supernet: Supernet, usual: Profile, quick: Profile, groups: Groups) -> None:
        self._supernet, self._profiles = supernet, (usual, quick)
        tables = tuple(table for profile in self._profiles if (table := profile.table(supernet)) is not None)
        alike = len(tables) == 2 and tables[0].blocks == tables[1].blocks
        self._tables = tables if alike else ()
        self._blocks = tables[0].blocks if alike else find_blocks(supernet)
        self._groups = [group_of(_first_layer(supernet, block), groups) for block in self._blocks]
        means = [_mean_transition(table) for table in self._tables]
        self.border_ms = max(0.0, (means[0] - means[1]) / 2) if means else 0.0

    def predict(self, archs: Sequence[Arch], chosen: Sequence[Sequence[str]]) -> Floats:
        """Returns ms (archs,) of Archs, each with the groups that it has in int8."""
        usual, quick = (profile.predict_archs(self._supernet, archs) for profile in self._profiles)
        parts = [table.times(archs) for table in self._tables] or [self._macs(archs)] * 2
        in_int8 = np.array([[group in names for names in chosen] for group in self._groups], dtype=np.bool_)
        shares = [times / times.sum(axis=0) for times in parts]
        ms: Floats = usual * (shares[0] * ~in_int8).sum(axis=0) + quick * (shares[1] * in_int8).sum(axis=0)
        return ms + self.border_ms * borders(in_int8, parts[0] > 0)

    def _macs(self, archs: Sequence[Arch]) -> Floats:
        costs: Mapping[str, Any] = cost_of_parts(self._supernet, archs, [block.paths for block in self._blocks])
        return np.asarray(costs["macs"], dtype=np.float64)


def borders(in_int8: Bools, present: Bools) -> Floats:
    """Returns how often subnets change between int8 and float32 from block to block, (archs,).

    Args:
        in_int8, present: (blocks, archs), in order of the blocks.
    """
    count, before = np.zeros(in_int8.shape[1]), np.full(in_int8.shape[1], -1)
    for now, there in zip(in_int8.astype(int), present, strict=True):
        count += there & (before >= 0) & (before != now)
        before = np.where(there, now, before)
    return count


def _first_layer(supernet: Supernet, block: Block) -> str:
    inside = (layer.module for layer in supernet.structure.trace.contractions if block_holds(block, layer.module))
    return next(inside, block.paths[0])


def _mean_transition(table: BlockTable) -> float:
    """The mean over pairs of blocks of what they take in a row beyond each alone, in ms."""
    return float(np.mean([each.mean for each in table.transitions.values()])) if table.transitions else 0.0
