"""Units: masks that zero chosen channels of a model, and the same channels cut out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput, nearest
from ofa.structure.coupling import Group
from ofa.structure.size_attributes import follow
from ofa.structure.structure import first_names
from ofa.views.module_lists import module_lists
from ofa.views.module_plan import plan_module
from ofa.views.plan import Slice
from ofa.views.view import build, cloned, cloned_parameter

if TYPE_CHECKING:
    from ofa.supernet import Supernet


def check_kept(supernet: Supernet, kept: Mapping[str, Tensor]) -> None:
    """Checks that `kept` says by group which units stay: bool (units,), at least one of them.

    Raises:
        InvalidInput: an unknown group, another shape or type, nothing kept, or units that are not
            interchangeable (their group can only lose its last ones).
    """
    groups = {group.name: group for group in supernet.groups}
    for name, keep in kept.items():
        if name not in groups:
            raise InvalidInput(f"kept names {name!r}, which is not a group of units; {nearest(name, groups)}")
        units = groups[name].units
        if keep.dtype != torch.bool or tuple(keep.shape) != (units,):
            actual = f"{keep.dtype} of shape {tuple(keep.shape)}"
            raise InvalidInput(f"kept[{name!r}] is {actual}; give a bool tensor of shape ({units},)")
        count = int(keep.sum())
        if count == 0:
            raise InvalidInput(f"kept[{name!r}] keeps none of {units} units; keep at least 1")
        if name in supernet.unsortable and not bool(keep[:count].all()):
            raise InvalidInput(f"kept[{name!r}]: these units are not interchangeable, so only the last ones can go")


def unit_masks(supernet: Supernet, kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns what stays of each parameter that a group of `kept` touches: bool of its shape, on its device.

    Biases and norm weights of a removed unit go too, so that the masked model computes what the cut one does.

    Args:
        supernet: names the groups.
        kept: by group, the units that stay, bool (units,); groups that are not named stay whole.

    Raises:
        InvalidInput: see `check_kept`.
    """
    check_kept(supernet, kept)
    parameters = dict(supernet.model.named_parameters())
    masks: dict[str, Tensor] = {}
    for group in supernet.groups:
        for member in group.members if group.name in kept else ():
            if member.source in parameters:
                parameter = parameters[member.source]
                mask = masks.setdefault(member.source, torch.ones_like(parameter, dtype=torch.bool))
                removed = torch.from_numpy(member.index)[~kept[group.name].cpu()].reshape(-1)
                mask.index_fill_(member.dim, removed.to(mask.device), False)
    return masks


def cut_units(supernet: Supernet, kept: Mapping[str, Tensor], weights: nn.Module | None = None) -> nn.Module:
    """Returns a plain network of the kept units alone, in their order, with weights of its own.

    Args:
        supernet: names the groups; it does not change.
        kept: by group, the units that stay, bool (units,); groups that are not named stay whole.
        weights: a model of the same structure to take weights and statistics from; the supernet's where None.

    Raises:
        InvalidInput: see `check_kept`.
    """
    check_kept(supernet, kept)
    model = supernet.model if weights is None else weights
    slices = unit_slices(supernet, kept)
    removed = {name: int(units.numel() - units.count_nonzero()) for name, units in kept.items()}
    numbers = follow(supernet.structure.attributes, removed)
    plan = plan_module(
        model, first_names(model), slices.__getitem__, {}, module_lists(model), numbers, supernet.recipes
    )
    return build(plan, cloned_parameter, cloned)


def unit_slices(supernet: Supernet, kept: Mapping[str, Tensor]) -> dict[str, Slice]:
    """Returns how each parameter and buffer is cut, by its first name, when these units stay (see `cut_units`)."""
    units = [kept[group.name].cpu().numpy() if group.name in kept else slice(None) for group in supernet.groups]
    slices = {}
    for source in supernet.sources.values():
        gathers = []
        shape = list(source.shape)
        for axis in supernet.axes.get(source.name, ()):
            owned_indices = zip(axis.groups, axis.indices, strict=True)
            parts = [index[units[number]].reshape(-1) for number, index in owned_indices]
            positions = np.sort(np.concatenate([axis.free, *parts]))
            if len(positions) < axis.size:
                gathers.append((axis.dim, torch.from_numpy(positions)))
                shape[axis.dim] = len(positions)
        slices[source.name] = Slice((), tuple(gathers), tuple(shape))
    return slices


def outputs_dim(module: nn.Module) -> int:
    """Returns the dimension of a layer's weight that counts its outputs: 1 for transposed convolutions, else 0."""
    return 1 if isinstance(module, nn.modules.conv._ConvTransposeNd) else 0


def producers(supernet: Supernet, group: Group) -> list[str]:
    """Returns the first names of the weights (of 2 dimensions or more) whose outputs are the group's channels."""
    tensors = supernet.tensors()
    names = []
    for member in group.members:
        path = supernet.owners(member.source)[0]
        if tensors[member.source].dim() >= 2 and member.dim == outputs_dim(supernet.model.get_submodule(path)):
            names.append(member.source)
    return names
