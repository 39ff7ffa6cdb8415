"""AMC's environment: layers in order, one keep ratio per layer, and bounds that keep the budget within reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ofa._cost import COSTS, cost
from ofa.arch import Arch
from ofa.choice import Choice
from ofa.errors import InvalidInput, nearest
from ofa.modes import in_mode
from ofa.prune.units import producers
from ofa.space import Space
from ofa.structure.coupling import Group

if TYPE_CHECKING:
    from ofa.supernet import Supernet

Array = np.ndarray[Any, np.dtype[np.float64]]

FIXED_FEATURES = ("index", "outputs", "inputs", "height", "width", "stride", "kernel_size", "macs")
FEATURES = (*FIXED_FEATURES, "reduced", "rest", "last_action")


def fixed_features(supernet: Supernet, groups: Sequence[Group]) -> Array:
    """Returns (groups, 8) float64, each column moved and scaled to [0, 1]; a column of equal values is 0.

    A group is described by the layer that makes its channels (the first where several do): its number t, output
    channels n, input channels c, height and width of its input in pixels, stride, kernel size, and the MACs of
    all layers that make them. Linear layers have a height, width, stride and kernel size of 1.
    Source: He et al. 2018 (AMC), 1802.03494, equation 1.
    """
    macs = made_macs(supernet, groups)
    layers = [_layer(supernet, group) for group in groups]
    sizes = _input_sizes(supernet, [layer for layer in layers if layer is not None])
    rows = []
    for number, (group, layer) in enumerate(zip(groups, layers, strict=True)):
        inputs = _size(layer, ("in_channels", "in_features"), 0)
        stride, kernel = _size(layer, ("stride",), 1), _size(layer, ("kernel_size",), 1)
        height, width = sizes.get(id(layer), (1, 1))
        rows.append((number, group.channels, inputs, height, width, stride, kernel, macs[number]))
    table = np.array(rows, dtype=np.float64).reshape(len(groups), len(FIXED_FEATURES))
    low, span = table.min(axis=0), np.ptp(table, axis=0)
    scaled: Array = (table - low) / np.where(span > 0, span, 1)
    return scaled


def made_macs(supernet: Supernet, groups: Sequence[Group]) -> Array:
    """Returns the MACs of the layers that make each group's channels, at full width, (groups,) float64."""
    by_weight: dict[str, int] = {}
    for contraction in supernet.structure.trace.contractions:
        if contraction.weight is not None:
            entries = supernet.sources[contraction.weight].tensor.numel()
            by_weight[contraction.weight] = by_weight.get(contraction.weight, 0) + contraction.positions * entries
    return np.array([sum(by_weight.get(name, 0) for name in set(producers(supernet, g))) for g in groups], float)


def _layer(supernet: Supernet, group: Group) -> nn.Module | None:
    names = producers(supernet, group)
    same_name = [name for name in names if name.removesuffix(".weight") == group.name.partition("#")[0]]
    return supernet.model.get_submodule(supernet.owners((same_name or names)[0])[0]) if names else None


def _size(layer: nn.Module | None, attributes: Sequence[str], otherwise: int) -> int:
    for name in attributes:
        value = getattr(layer, name, None)
        if value is not None:
            return int(value[0] if isinstance(value, tuple) else value)
    return otherwise


def _input_sizes(supernet: Supernet, layers: Sequence[nn.Module]) -> dict[int, tuple[int, int]]:
    """Height and width of each layer's first input by the layer's id; a row of values has a height of 1."""
    sizes: dict[int, tuple[int, int]] = {}

    def note(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        value = inputs[0] if inputs else None
        if isinstance(value, Tensor) and not isinstance(layer, nn.Linear):
            spatial = value.shape[2:]
            sizes.setdefault(id(layer), (spatial[-2] if len(spatial) > 1 else 1, spatial[-1] if len(spatial) else 1))

    handles = [layer.register_forward_pre_hook(note) for layer in dict.fromkeys(layers)]
    try:
        device = next(supernet.model.parameters()).device
        with torch.no_grad(), in_mode(supernet.model, training=False):
            supernet.inputs.to(device).call(supernet.model)
    finally:
        for handle in handles:
            handle.remove()
    return sizes


# Costs of networks, limited by a budget: Archs -> one number each.
Measure = Callable[[Sequence[Arch]], Sequence[float]]


@dataclass(frozen=True)
class Environment:
    """The widths to be chosen, one after another, and their cost.

    Attributes:
        space: of the supernet; depths and kernel sizes stay at their largest.
        choices: the widths, in order of use.
        fixed: see `fixed_features`, (choices, 8).
        rest: fraction of the MACs in layers that make the channels of later choices, (choices,).
        measure: cost of Archs.
        full: cost of the largest network.
        limit: the highest cost that is allowed; None for no limit.
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
        metric: what costs, one of `ofa._cost.COSTS`.
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
