"""What an agent that prunes is rewarded for, from accuracies in [0, 1], and the network it ends with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ofa.arch import Arch
from ofa.errors import InvalidInput

# (accuracy in [0, 1], cost of the network in the budget's unit) -> reward.
Reward = Callable[[float, float], float]


def negative_error(accuracy: float, cost: float) -> float:
    """Returns accuracy - 1, independent of the cost: for searches whose choice of actions keeps the budget.

    Source: He et al. 2018 (AMC), 1802.03494, section 3.3, R_err.
    """
    return accuracy - 1.0


def error_times_log_cost(accuracy: float, cost: float) -> float:
    """Returns -(1 - accuracy) * log(cost): for searches without a budget, which then keep the accuracy.

    `cost` is a count above 1 (MACs or parameters), so that a lower cost makes every error cost less.
    Source: He et al. 2018 (AMC), 1802.03494, section 3.3, R_FLOPs and R_Param.

    Raises:
        InvalidInput: a cost of 1 or below, whose logarithm would reward errors.
    """
    if not cost > 1:
        raise InvalidInput(f"error_times_log_cost with cost={cost!r}: give a count above 1, such as MACs or params")
    return -(1.0 - accuracy) * math.log(cost)


def filter_reward(accuracy: float, baseline: float, bound: float, remaining: int, filters: int) -> float:
    """Returns psi * phi, psi = (bound - (baseline - accuracy)) / bound and phi = log(filters / kept).

    It is 0 where nothing was removed, and below 0 where the accuracy fell by more than `bound`. A layer with no
    filter left is no network: it counts as one of accuracy 0 with one filter.

    Args:
        accuracy: of the pruned network, in [0, 1].
        baseline: accuracy of the network that nothing was removed from.
        bound: the drop in accuracy that is allowed, such as 0.01 for a point.
        remaining: filters that stay in the layer.
        filters: filters of the layer.

    Source: Huang et al. 2018, 1801.07365 (psi is its accuracy term, phi its efficiency term).

    Raises:
        InvalidInput: a bound of 0 or below, or a count outside 0 to `filters`.
    """
    if not bound > 0:
        raise InvalidInput(f"bound={bound!r}: give the drop in accuracy that is allowed, above 0, such as 0.01")
    if not 0 <= remaining <= filters or filters < 1:
        raise InvalidInput(f"remaining={remaining!r} of {filters!r} filters: give a count from 0 to all filters")
    if remaining == 0:
        accuracy, remaining = 0.0, 1
    return (bound - (baseline - accuracy)) / bound * math.log(filters / remaining)


@dataclass(frozen=True)
class LearnedNetwork:
    """A smaller network, and where it came from.

    Attributes:
        net: the network with its removed channels cut out: plain, with weights of its own.
        masked: the full-size network with the removed channels at zero; the same function as `net`.
        units: by group of the supernet, which of its units stay, bool (units,).
        masks: by name of each parameter that a group touches, what stays, bool of its shape.
        accuracy: of `net`, as the given function measured it.
        cost: of `net`, in the budget's unit.
        full_cost: of the network that nothing was removed from.
        history: one row per episode or update, JSON-able.
        arch: the widths of `net` where they are of the supernet's space; None where they were chosen freely.
    """

    net: nn.Module
    masked: nn.Module
    units: Mapping[str, Tensor]
    masks: Mapping[str, Tensor]
    accuracy: float
    cost: float
    full_cost: float
    history: tuple[Mapping[str, Any], ...]
    arch: Arch | None = None
