"""AMC's environment: layers in order, a keep ratio each, and a wall that keeps the budget within reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ofa.arch import Arch
from ofa.cost import COSTS, cost
from ofa.errors import InvalidInput, nearest
from ofa.prune.learned.amc_features import Array, fixed_features, made_macs
from ofa.space import Choice, Space

if TYPE_CHECKING:
    from ofa.supernet import Supernet

# Costs of networks that a budget limits: Archs -> one number each.
Measure = Callable[[Sequence[Arch]], Sequence[float]]


@dataclass(frozen=True)
class Environment:
    """The widths that are to be chosen, one after another, and what they cost.

    Attributes:
        space: of the supernet; depths and kernel sizes stay at their largest.
        choices: the widths, in order of use.
        fixed: see `fixed_features`, (choices, 8).
        rest: fraction of the MACs in layers that make the channels of later choices, (choices,).
        measure: cost of Archs.
        full: cost of the largest network.
        limit: the highest cost that is allowed; None where none is.
    """

    space: Space
    choices: tuple[Choice, ...]
    fixed: Array
    rest: Array
    measure: Measure
    full: float
    limit: float | None

    def arch(self, widths: Sequence[int], *, later_least: bool = False) -> Arch:
        """Returns the Arch of the first widths; later ones are full, or at their least."""
        chosen = {choice.key: width for choice, width in zip(self.choices, widths, strict=False)}
        if later_least:
            chosen |= {choice.key: choice.values[0] for choice in self.choices[len(widths) :]}
        return self.space.arch(chosen)

    def state(self, widths: Sequence[int]) -> Array:
        """Returns the 11 features, each in [0, 1], of the first layer that is not decided; all decided: of the last.

        Eight fixed ones, then the fraction of the cost that is removed already (later layers being full), the
        fraction of the MACs in later layers, and the last ratio that was kept (1 before the first).
        Source: He et al. 2018 (AMC), 1802.03494, equation 1.
        """
        number = min(len(widths), len(self.choices) - 1)
        reduced = 1 - float(self.measure([self.arch(widths)])[0]) / self.full
        last = widths[-1] / self.choices[len(widths) - 1].values[-1] if widths else 1.0
        return np.array([*self.fixed[number], reduced, self.rest[number], last])

    def decide(self, widths: Sequence[int], ratio: float) -> int:
        """Returns the next width: the one nearest to `ratio` of full, or the widest below it that the budget allows.

        A width is allowed where the budget can still be met with every later layer at its least; then so is the
        least width of the next layer, whatever the cost looks like. Ratios halfway go up.
        Source: He et al. 2018 (AMC), 1802.03494, algorithm 1 (its "action wall").
        """
        values = self.choices[len(widths)].values
        wanted = min(values, key=lambda value: (abs(value - ratio * values[-1]), -value))
        allowed = [value for value in values if value <= wanted]
        if self.limit is None:
            return wanted
        costs = self.measure([self.arch([*widths, value], later_least=True) for value in allowed])
        return max((v for v, c in zip(allowed, costs, strict=True) if c <= self.limit), default=values[0])


def make_environment(
    supernet: Supernet, budget: float | None, metric: str = "macs", measure: Measure | None = None
) -> Environment:
    """Returns the environment of a supernet's widths.

    Args:
        supernet: its space says which widths there are.
        budget: fraction of the largest network's cost that may stay, above 0 and at most 1; None: no limit.
        metric: what costs, one of `ofa.cost.COSTS`.
        measure: costs of Archs in place of `metric`, such as predicted latencies in ms.

    Raises:
        InvalidInput: an unknown metric, no width to choose, or a budget that no network of the space meets.
    """
    if metric not in COSTS:
        raise InvalidInput(f"metric={metric!r} is not a cost; {nearest(metric, COSTS)}")
    if budget is not None and not 0 < budget <= 1:
        raise InvalidInput(f"budget={budget!r}: give the fraction of the cost that may stay, above 0 and at most 1")
    groups = {f"width.{group.name}": group for group in supernet.groups}
    choices = tuple(choice for choice in supernet.space.choices if choice.key in groups)
    if not choices:
        raise InvalidInput("no width of this supernet can vary under its rules; give a Supernet with more width_ratios")
    if measure is None:

        def measure(archs: Sequence[Arch]) -> Sequence[float]:
            return [float(value) for value in cost(supernet, archs)[metric]]

    least = supernet.space.arch({choice.key: choice.values[0] for choice in choices})
    full, smallest = (float(value) for value in measure([supernet.space.largest, least]))
    if budget is not None and smallest > budget * full:
        raise InvalidInput(
            f"budget={budget!r} cannot be met: the narrowest network of this space has {smallest / full:.4f} "
            f"of the full one's cost; give at least that, or allow narrower widths"
        )
    chosen = [groups[choice.key] for choice in choices]
    macs = made_macs(supernet, chosen)
    total = max(1.0, float(cost(supernet, [supernet.space.largest])["macs"][0]))
    rest = np.minimum(1.0, (macs.sum() - np.cumsum(macs)) / total)
    limit = None if budget is None else budget * full
    return Environment(supernet.space, choices, fixed_features(supernet, chosen), rest, measure, full, limit)
