"""Try-and-learn: layer by layer, an agent tries which filters can go and learns from the accuracy that is left."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ofa._cost import COSTS, cost
from ofa.arch import Arch
from ofa.errors import InvalidInput, is_whole, nearest
from ofa.prune.learned.filter_policy import BASELINES, FilterPolicy, Trial, train_agent, unit_features
from ofa.prune.learned.rewards import LearnedNetwork, filter_reward
from ofa.prune.rewinding import remove_
from ofa.prune.units import cut_units, unit_masks
from ofa.structure.coupling import Group

if TYPE_CHECKING:
    from ofa.supernet import Supernet

Evaluate = Callable[[nn.Module], float]
# Trains a masked network in place; the masks are applied again afterwards.
Tune = Callable[[nn.Module, Mapping[str, Tensor]], None]


@dataclass(frozen=True)
class Surgeon:
    """Removes filters of one layer from a network and rates the result; see `try_and_learn`."""

    supernet: Supernet
    evaluate: Evaluate
    tune: Tune | None
    baseline: float
    bound: float

    def attempt(self, base: nn.Module, before: Mapping[str, Tensor], group: Group, keep: Tensor) -> Trial:
        """Returns the trial of `keep`, bool (units,), on a copy of `base`, which lacks what `before` removed."""
        count = int(keep.sum())
        if count == 0:
            return Trial(keep, filter_reward(0.0, self.baseline, self.bound, 0, group.units), 0.0, base)
        net = copy.deepcopy(base)
        masks = unit_masks(self.supernet, {**before, group.name: keep})
        remove_(net, masks)
        if self.tune is not None and count < group.units:
            self.tune(net, masks)
            remove_(net, masks)
        accuracy = accuracy_of(self.evaluate, net)
        return Trial(keep, filter_reward(accuracy, self.baseline, self.bound, count, group.units), accuracy, net)


def try_and_learn(
    supernet: Supernet,
    evaluate: Evaluate,
    *,
    bound: float = 0.02,
    layers: Sequence[str] = ("*",),
    updates: int = 100,
    samples: int = 8,
    learning_rate: float = 0.02,
    initial_keep: float = 0.9,
    baseline: str = "mean",
    tune: Tune | None = None,
    tune_trials: bool = False,
    metric: str = "macs",
    seed: int = 0,
    progress: Callable[[Mapping[str, Any]], None] | None = None,
) -> LearnedNetwork:
    """Returns the network that is left when each layer in turn has lost the filters its agent found useless.

    A layer ends with the tried action of the highest reward. Keeping everything is always among those, with a
    reward of 0, so unless `tune` harms it the network's accuracy is at least that of the full one less `bound`.
    An agent stops early when it is sure of every filter.

    Args:
        supernet: the model and its groups of coupled filters; it does not change.
        evaluate: accuracy of a network, in [0, 1]; the network is full-size with zeros, and the function's own to
            change (norm statistics may be remeasured). It must give equal networks equal accuracies.
        bound: the drop in accuracy that is allowed, from the full network's, for all layers together.
        layers: globs of the groups to prune; those that the rules fix and those whose units are not
            interchangeable stay whole.
        updates: of each layer's agent.
        samples: actions that are tried per update.
        learning_rate: of the agent's Adam.
        initial_keep: probability that a filter stays, at an agent's start.
        baseline: what rewards are compared with: "mean" (of the other samples; it found more here) or
            "self_critical" (the most probable action's reward).
        tune: trains the network after each layer.
        tune_trials: whether every tried network is tuned before its accuracy counts, as published.
        metric: what the costs of the answer count, one of `ofa._cost.COSTS`.
        seed: of every draw.
        progress: called with each row of the history.

    Source: Huang et al. 2018, 1801.07365.

    Raises:
        InvalidInput: a setting that does not fit, a glob that names no layer, or an accuracy outside [0, 1].
    """
    _check(updates, samples, learning_rate, baseline, metric, tune, tune_trials)
    groups = _chosen(supernet, layers)
    generator = torch.Generator().manual_seed(seed)
    net = copy.deepcopy(supernet.model)
    accuracy = accuracy_of(evaluate, net)
    surgeon = Surgeon(supernet, evaluate, tune if tune_trials else None, accuracy, bound)
    kept_units: dict[str, Tensor] = {}
    history: list[dict[str, Any]] = []
    for group in groups:
        policy = FilterPolicy(unit_features(supernet, group, net), initial_keep, generator)
        best, rows = train_agent(
            policy,
            functools.partial(surgeon.attempt, net, dict(kept_units), group),
            updates=updates,
            samples=samples,
            learning_rate=learning_rate,
            baseline=baseline,
            generator=generator,
        )
        kept_units[group.name] = best.keep
        net, accuracy = best.net, best.accuracy
        masks = unit_masks(supernet, kept_units)
        if tune is not None and not tune_trials:
            tune(net, masks)
            remove_(net, masks)
            accuracy = accuracy_of(evaluate, net)
        last = {"accuracy": accuracy, "kept": int(best.keep.sum()), "units": group.units, "reward": best.reward}
        for row in [*({"layer": group.name, **row} for row in rows), {"layer": group.name, **last}]:
            history.append(row)
            if progress is not None:
                progress(row)
    full, left = (
        float(value) for value in cost(supernet, [supernet.space.largest, _widths(supernet, kept_units)])[metric]
    )
    cut = cut_units(supernet, kept_units, weights=net)
    return LearnedNetwork(cut, net, kept_units, unit_masks(supernet, kept_units), accuracy, left, full, tuple(history))


def accuracy_of(evaluate: Evaluate, net: nn.Module) -> float:
    """Returns what `evaluate` says of a copy of `net`, which it may change.

    Raises:
        InvalidInput: not a number in [0, 1].
    """
    accuracy = evaluate(copy.deepcopy(net))
    if not 0 <= accuracy <= 1:
        raise InvalidInput(f"evaluate returned {accuracy!r}: it must return an accuracy in [0, 1]")
    return float(accuracy)


def _widths(supernet: Supernet, kept_units: Mapping[str, Tensor]) -> Arch:
    """An Arch to count the cost of; its widths need not be values of the space."""
    largest = supernet.space.largest
    width = {
        g.name: int(kept_units[g.name].sum()) * g.channels_per_unit for g in supernet.groups if g.name in kept_units
    }
    return Arch({**largest.width, **width}, largest.depth, largest.kernel_size)


def _chosen(supernet: Supernet, layers: Sequence[str]) -> list[Group]:
    names = [choice.name for choice in supernet.space.choices if choice.kind == "width"]
    names = [name for name in names if name not in supernet.unsortable]
    for pattern in layers:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise InvalidInput(f"layers names {pattern!r}, which no prunable layer matches; {nearest(pattern, names)}")
    return [
        group
        for group in supernet.groups
        if group.name in names and any(fnmatchcase(group.name, pattern) for pattern in layers)
    ]


def _check(
    updates: int, samples: int, learning_rate: float, baseline: str, metric: str, tune: Tune | None, tune_trials: bool
) -> None:
    for name, value in (("updates", updates), ("samples", samples)):
        if not is_whole(value, 1):
            raise InvalidInput(f"{name}={value!r}: give a whole number, at least 1")
    if not learning_rate > 0:
        raise InvalidInput(f"learning_rate={learning_rate!r}: give a number above 0")
    if baseline not in BASELINES:
        raise InvalidInput(f"baseline={baseline!r} is unknown; {nearest(str(baseline), BASELINES)}")
    if metric not in COSTS:
        raise InvalidInput(f"metric={metric!r} is not a cost; {nearest(metric, COSTS)}")
    if tune_trials and tune is None:
        raise InvalidInput("tune_trials=True with tune=None: give the function that tunes a network")
