"""Inspection: how much of a model is elastic, and what keeps the rest as it is, with a cure for each reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from ofa._cost import cost
from ofa.cures import cure_of
from ofa.kernel_transforms import is_kernel_transform
from ofa.layer_report import Row
from ofa.supernet import Supernet


@dataclass(frozen=True)
class Obstacle:
    """Why some parameters have no choice.

    Attributes:
        reason: as in the layer report.
        cure: what would free them; empty if nothing would, as for the network's output.
        parameters: numbers in the parameters that it keeps as they are.
        layers: the names of these parameters, in the model's order.
    """

    reason: str
    cure: str
    parameters: int
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Inspection:
    """What can vary in a model, counted in its parameters.

    Attributes:
        rows: of the layer report.
        choices: how many there are of each kind, such as {"depth": 3, "width": 12}.
        subnets: how many different subnets there are, exactly.
        parameters: numbers in all parameters.
        elastic: those in parameters that some choice changes or leaves out.
        smallest: those of the smallest subnet.
        obstacles: why the others have no choice, those that keep most first.
    """

    rows: tuple[Row, ...]
    choices: Mapping[str, int]
    subnets: int
    parameters: int
    elastic: int
    smallest: int
    obstacles: tuple[Obstacle, ...]


def inspect(supernet: Supernet) -> Inspection:
    """Returns which parameters of a supernet can vary, how far, and what would free the rest."""
    space = supernet.space
    named = supernet.model.named_parameters()
    parameters = {name: tensor for name, tensor in named if not is_kernel_transform(name)}
    fixed = {name: tensor.numel() for name, tensor in parameters.items() if not _varies(supernet, name)}
    kinds = [choice.kind for choice in space.choices]
    total = sum(tensor.numel() for tensor in parameters.values())
    return Inspection(
        rows=supernet.report().rows,
        choices={kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
        subnets=space.size,
        parameters=total,
        elastic=total - sum(fixed.values()),
        smallest=int(cost(supernet, [space.smallest])["params"][0]),
        obstacles=_obstacles(supernet, fixed),
    )


def _varies(supernet: Supernet, name: str) -> bool:
    """Whether any choice changes a parameter: its size, or whether it is there at all."""
    chosen = supernet.space.by_key
    widths = {f"width.{supernet.groups[number].name}" for axis in supernet.axes.get(name, ()) for number in axis.groups}
    gated = all(any(key in chosen for key, _ in alternative) for alternative in supernet.tensor_conditions(name))
    return gated or bool(widths & chosen.keys()) or f"kernel_size.{name.rpartition('.')[0]}" in chosen


def _obstacles(supernet: Supernet, fixed: Mapping[str, int]) -> tuple[Obstacle, ...]:
    """The reasons of fixed parameters, each with all that it keeps; a parameter counts with its longest dimension."""
    layers: dict[str, list[str]] = {}
    for name in fixed:
        layers.setdefault(_reason(supernet, name), []).append(name)
    obstacles = [
        Obstacle(reason, cure_of(reason), sum(fixed[name] for name in names), tuple(names))
        for reason, names in layers.items()
    ]
    return tuple(sorted(obstacles, key=lambda obstacle: -obstacle.parameters))


def _reason(supernet: Supernet, name: str) -> str:
    """Why a parameter has no choice: the reason along its longest dimension that has a cure, else along any."""
    shape = supernet.sources[name].shape if name in supernet.sources else ()
    dims = sorted(range(len(shape)), key=lambda dim: -shape[dim])
    reasons = [supernet.structure.fixed[(name, dim)] for dim in dims if (name, dim) in supernet.structure.fixed]
    if supernet.axes.get(name):
        return "the rules leave one width"
    curable = [reason for reason in reasons if cure_of(reason)]
    if reasons:
        return (curable or reasons)[0]
    return "has a single entry" if prod(shape) <= 1 else "never meets another layer"
