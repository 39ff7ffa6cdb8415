"""What an optimizer remembers of each weight: zeroed where weights go, cut where channels go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.prune.optimizer_settings import builder_like
from ofa.views.plan import Slice

# Makes an optimizer from parameter groups, each with its own settings, as torch.optim.SGD does.
MakeOptimizer = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]


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
    optimizer: torch.optim.Optimizer,
    full: nn.Module,
    slim: nn.Module,
    slices: Mapping[str, Slice],
    make: MakeOptimizer | None = None,
) -> torch.optim.Optimizer:
    """Returns a new optimizer of `slim` with the old one's settings, the state of each weight cut as the weight was.

    It is constructed, not copied: what other objects attached to the old one, such as the step that a learning-rate
    scheduler wraps, stays with the old one. Hooks that were registered on it are registered again. The slim model's
    parameters take the place of the full model's, in their groups and their order; parameters that are not of the
    model are shared. Means over rows or columns (Adafactor) lose the entries of what is gone.

    `make` makes the optimizer from its groups; without it, its class does, with the settings of `optimizer`. Where it
    is given, the state of a parameter of which any part is neither per weight nor a number starts fresh.

    Raises:
        InvalidInput: a class whose constructor or state cannot be followed, and no `make`.
    """
    names: dict[Tensor, str] = {parameter: name for name, parameter in full.named_parameters()}
    new = dict(slim.named_parameters())
    groups = [
        {key: _setting_copy(value) for key, value in group.items() if key != "params"}
        | {"params": [new[names[p]] if p in names else p for p in group["params"]]}
        for group in optimizer.param_groups
    ]
    new_optimizer = (builder_like(optimizer) if make is None else make)(groups)
    for parameter, state in optimizer.state.items():
        name = names.get(parameter)
        if name is None:
            new_optimizer.state[parameter] = state
            continue
        strange = [str(key) for key, value in state.items() if not _can_be_cut(value, parameter)]
        if not strange:
            new_optimizer.state[new[name]] = {key: _cut(value, parameter, slices[name]) for key, value in state.items()}
        elif make is None:
            raise InvalidInput(
                f"{type(optimizer).__name__} remembers {strange[0]!r} of {name}, which is neither per weight nor a "
                f"number and cannot be cut: give slim(make_optimizer=...) to let its state start fresh"
            )
    for hook in optimizer._optimizer_step_pre_hooks.values():
        new_optimizer.register_step_pre_hook(hook)
    for after in optimizer._optimizer_step_post_hooks.values():
        new_optimizer.register_step_post_hook(after)
    return new_optimizer


def _setting_copy(setting: Any) -> Any:
    """A setting of the new group; a tensor is copied, so the old group's scheduler cannot change it."""
    return setting.detach().clone() if isinstance(setting, Tensor) else setting


def _can_be_cut(value: Any, parameter: Tensor) -> bool:
    """Whether a state is a number, or a tensor per weight, row or column: its sizes are the weight's or 1."""
    if not isinstance(value, Tensor):
        return value is None or isinstance(value, (bool, int, float, str))
    if value.numel() == 1:
        return True
    return value.dim() == parameter.dim() and all(
        size in (1, whole) for size, whole in zip(value.shape, parameter.shape, strict=True)
    )


def _cut(value: Any, parameter: Tensor, by: Slice) -> Any:
    if not isinstance(value, Tensor):
        return value
    if not value.dim() or value.dim() != parameter.dim():
        return value.clone()
    whole = [size == full for size, full in zip(value.shape, parameter.shape, strict=True)]
    along = Slice(
        tuple(narrow for narrow in by.narrows if whole[narrow[0]]),
        tuple(gather for gather in by.gathers if whole[gather[0]]),
        by.shape,
    )
    return along(value).clone()
