"""Sorting: the most important channels first, so that a narrow subnet keeps them as one contiguous slice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ofa.errors import InvalidInput, nearest
from ofa.structure.coupling import Group

if TYPE_CHECKING:
    from ofa.supernet import Supernet

Criterion = Callable[["Supernet", Group], Tensor]


def l1(supernet: Supernet, group: Group) -> Tensor:
    """Returns the importance of each unit, (units,): the mean magnitude of its weights, summed over matrices.

    A unit's rows and columns in every convolution and linear layer count; vectors (biases, norms) do not.

    Source: once-for-all networks sort channels by the L1 norm (Cai et al. 2020, 1908.09791, section 3.3); here
    the norm is taken over all coupled layers, each divided by its size so that none outweighs the rest.
    """
    total = torch.zeros(group.units, dtype=torch.float64)
    for weight, others, units in _matrices_of(supernet, group):
        total += weight.abs().double().mean(dim=others).cpu()[units].mean(dim=1)
    return total


def nonzeros(supernet: Supernet, group: Group) -> Tensor:
    """Returns how many weights of each unit are not 0, (units,): in convolutions and linear layers, as in `l1`.

    Sorted by it, a pruned network's rows and columns go from dense to empty, so that a file of it is smaller: where
    weights are depends on where others are.
    """
    total = torch.zeros(group.units, dtype=torch.float64)
    for weight, others, units in _matrices_of(supernet, group):
        total += (weight != 0).double().sum(dim=others).cpu()[units].sum(dim=1)
    return total


def _matrices_of(supernet: Supernet, group: Group) -> Iterator[tuple[Tensor, list[int], Tensor]]:
    """Weights that a group is a dimension of, their other dimensions, and the places of units, (units, places)."""
    tensors = supernet.tensors()
    for member in group.members:
        weight = tensors[member.source].detach()
        if weight.dim() >= 2:
            others = [dim for dim in range(weight.dim()) if dim != member.dim]
            yield weight, others, torch.from_numpy(member.index)


def importance_order(supernet: Supernet, criterion: Criterion = l1) -> dict[str, Tensor]:
    """Returns each group's units by name of the group, most important first; ties keep their order.

    Raises:
        InvalidInput: the criterion gives another shape than (units,) or something not finite.
    """
    return {group.name: _order(group, criterion(supernet, group)) for group in supernet.groups}


def _order(group: Group, scores: Tensor) -> Tensor:
    """The units of a group, most important first; ties keep their order."""
    if tuple(scores.shape) != (group.units,) or not bool(torch.isfinite(scores).all()):
        raise InvalidInput(
            f"the criterion gave {group.name} scores of shape {tuple(scores.shape)}; "
            f"it must give {group.units} finite numbers"
        )
    return torch.argsort(scores, descending=True, stable=True)


def reorder_(supernet: Supernet, order: Mapping[str, Tensor], optimizer: torch.optim.Optimizer | None = None) -> None:
    """Moves each group's units into the given order, in place; the whole network computes the same function.

    Parameters, norm statistics, gradients and the optimizer's per-weight state move together. Groups whose units
    are not interchangeable (a layout inside the unit is hard-coded) keep their order.
    """
    tensors = supernet.tensors()
    for group in supernet.groups:
        if group.name not in order or group.name in supernet.unsortable:
            continue
        ranked = order[group.name]
        for member in group.members:
            tensor = tensors[member.source]
            index = torch.from_numpy(member.index)
            target, origin = index.reshape(-1), index[ranked].reshape(-1)
            for moved in [tensor, *_companions(tensor, optimizer)]:
                device = moved.device
                with torch.no_grad():
                    reordered = moved.index_select(member.dim, origin.to(device))
                    moved.index_copy_(member.dim, target.to(device), reordered)


def _companions(tensor: Tensor, optimizer: torch.optim.Optimizer | None) -> list[Tensor]:
    """The gradient and the optimizer's state of a parameter that have its shape."""
    companions = [tensor.grad] if tensor.grad is not None else []
    if optimizer is not None:
        state = optimizer.state.get(tensor, {})
        companions += [v for v in state.values() if isinstance(v, Tensor) and v.shape == tensor.shape and v.dim()]
    return companions


def sort_channels_(
    supernet: Supernet, criterion: Criterion = l1, optimizer: torch.optim.Optimizer | None = None
) -> None:
    """Sorts every group's units by importance, most important first, in place; the function does not change.

    Raises:
        InvalidInput: the criterion's scores do not fit.
    """
    reorder_(supernet, importance_order(supernet, criterion), optimizer)


def sort_units_(
    supernet: Supernet, scores: Mapping[str, Tensor], optimizer: torch.optim.Optimizer | None = None
) -> None:
    """Sorts units by scores of a measure of `ofa.importance`, most important first, in place; the function stays.

    Args:
        scores: by the name of the group, (units,); groups that are not named keep their order.

    Raises:
        InvalidInput: a name that is no group, or scores that do not fit.
    """
    groups = {group.name: group for group in supernet.groups}
    if unknown := [name for name in scores if name not in groups]:
        raise InvalidInput(f"scores name {unknown[0]!r}, which is not a group of units; {nearest(unknown[0], groups)}")
    order = {name: _order(groups[name], values) for name, values in scores.items()}
    reorder_(supernet, order, optimizer)
