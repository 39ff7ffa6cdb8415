"""What an optimizer remembers of each weight: zeroed where weights go, cut where channels go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ofa.plan import Slice


def mask_(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], masks: Mapping[str, Tensor]
) -> None:
    """Zeroes the momentum (and every other state of a weight's shape) where masks are False."""
    with torch.no_grad():
        for name, mask in masks.items():
            for _, value in per_weight(optimizer, parameters[name]):
                value.mul_(mask)


def per_weight(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> Iterator[tuple[str, Tensor]]:
    """Yields the optimizer's state of a parameter that has its shape, by name."""
    for key, value in optimizer.state.get(parameter, {}).items():
        if isinstance(value, Tensor) and value.shape == parameter.shape and value.dim():
            yield key, value


def cut(
    optimizer: torch.optim.Optimizer, full: nn.Module, slim: nn.Module, slices: Mapping[str, Slice]
) -> torch.optim.Optimizer:
    """Returns an optimizer of the same kind and settings for `slim`, the state of each weight cut as the weight was.

    The slim model's parameters take the place of the full model's, in their groups and their order. Parameters
    that are not of the model are shared.
    """
    names: dict[Tensor, str] = {parameter: name for name, parameter in full.named_parameters()}
    new = dict(slim.named_parameters())
    made = object.__new__(type(optimizer))
    made.__dict__.update(optimizer.__dict__)
    made.state = defaultdict(dict)
    made.param_groups = []
    for group in optimizer.param_groups:
        own = [new[names[p]] if p in names else p for p in group["params"]]
        made.param_groups.append({**group, "params": own})
    for parameter, state in optimizer.state.items():
        name = names.get(parameter)
        if name is None:
            made.state[parameter] = state
        else:
            made.state[new[name]] = {key: _cut(value, parameter, slices[name]) for key, value in state.items()}
    return made


def _cut(value: Any, parameter: Tensor, by: Slice) -> Any:
    if not isinstance(value, Tensor):
        return value
    if value.dim() and value.shape == parameter.shape:
        return by(value).clone()
    return value.clone()
