"""Features: a subnet learns what flows between the blocks of a larger network, not only what that answers.

Units are sorted, so the channels that a narrow subnet keeps are the first of the large one's, and the hidden state
between two of its blocks stands for the first channels of the large one's at that place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.inputs import output_tensors
from ofa.views.module_plan import ModulePlan

if TYPE_CHECKING:
    from ofa.supernet import Supernet

# The hidden states of one forward pass by the path of the block that returned them.
Hidden = dict[str, Tensor]


@contextmanager
def hidden_states(net: nn.Module, paths: Iterable[str]) -> Iterator[Hidden]:
    """Yields what the blocks at `paths` return in the forward passes of the block below: their first tensors."""
    hidden: Hidden = {}

    def watch(path: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def keep(_: nn.Module, __: Any, outputs: Any) -> None:
            hidden[path] = output_tensors(outputs)[0]

        return module.register_forward_hook(keep)

    handles = [watch(path, net.get_submodule(path)) for path in paths]
    try:
        yield hidden
    finally:
        for handle in handles:
            handle.remove()


def block_paths(supernet: Supernet) -> list[str]:
    """Returns the paths of the blocks of all stages: the places where hidden states are compared.

    Raises:
        InvalidInput: the network has no stages of blocks.
    """
    paths = [path for stage in supernet.structure.stages for path in stage.blocks]
    if not paths:
        raise InvalidInput(
            f"features are compared between residual blocks, and {type(supernet.model).__name__} has no stage of them: "
            "set features=0"
        )
    return paths


def matching_blocks(supernet: Supernet, arch: Arch) -> dict[str, str]:
    """Returns, for each block of the subnet of `arch` by its path there, the full network's block that it stands for.

    That is the last one before the next block that the subnet has: blocks that are left out hand on what they get.
    """
    there = _new_paths(supernet, supernet.plan(arch))
    pairs: dict[str, str] = {}
    for stage in supernet.structure.stages:
        gone = set(stage.dropped(arch.depth.get(stage.name, len(stage.blocks))))
        numbers = [number for number, path in enumerate(stage.blocks) if path not in gone and path in there]
        for number, following in zip(numbers, [*numbers[1:], len(stage.blocks)], strict=True):
            pairs[there[stage.blocks[number]]] = stage.blocks[following - 1]
    return pairs


def feature_loss(supernet: Supernet, arch: Arch, student: Hidden, teacher: Hidden) -> Tensor | None:
    """Returns how far a subnet's hidden states are from the first channels of the full network's; None: none compare.

    The mean over blocks of the mean squared difference, each divided by the mean square of what is aimed at, so that
    1 means as far as zeros would be. Blocks whose tensors have other sizes for another reason (the resolution) and
    streams whose channels do not lie in the order of the units are left out.

    Args:
        arch: of the subnet.
        student: of the subnet's blocks (see `matching_blocks`).
        teacher: of the full network's blocks; no gradient flows into it.

    Source: Jiao et al. 2020 (TinyBERT), 1909.10351, equation 8; there a learned projection stands for the slice.
    """
    losses = []
    for path, source in matching_blocks(supernet, arch).items():
        aim = _first_channels(supernet, arch, teacher[source].detach(), student[path])
        if aim is not None:
            precision = torch.promote_types(aim.dtype, torch.float32)
            aim, made = aim.to(precision), student[path].to(precision)
            scale = aim.square().mean().clamp_min(torch.finfo(torch.float32).tiny)
            losses.append((made - aim).square().mean() / scale)
    return torch.stack(losses).mean() if losses else None


def _first_channels(supernet: Supernet, arch: Arch, full: Tensor, part: Tensor) -> Tensor | None:
    """The part of a hidden state that a narrower one stands for; None where there is no such part."""
    if full.shape == part.shape:
        return full
    if full.dim() != part.dim():
        return None
    differing = [dim for dim in range(full.dim()) if full.shape[dim] != part.shape[dim]]
    if len(differing) != 1 or not _leads(supernet, arch, full.shape[differing[0]], part.shape[differing[0]]):
        return None
    return full.narrow(differing[0], 0, part.shape[differing[0]])


def _leads(supernet: Supernet, arch: Arch, full: int, part: int) -> bool:
    """Whether every group that has `part` of `full` channels keeps the first ones, and there is such a group."""
    leads = False
    for group, units in zip(supernet.groups, supernet.units(arch), strict=True):
        if (group.channels, units * group.channels_per_unit) == (full, part):
            leads = True
            for member in group.members:
                if member.index.size == full and not np.array_equal(member.index.reshape(-1), np.arange(full)):
                    return False
    return leads


def _new_paths(supernet: Supernet, plan: ModulePlan) -> Mapping[str, str]:
    """The paths in a subnet of the supernet's modules that it has: shorter lists count anew."""
    names = {id(module): path for path, module in supernet.model.named_modules()}
    paths: dict[str, str] = {}

    def visit(plan: ModulePlan, path: str) -> None:
        if id(plan.module) in names:
            paths.setdefault(names[id(plan.module)], path)
        for name, child in plan.children:
            if child is not None:
                visit(child, f"{path}.{name}" if path else name)

    visit(plan, "")
    return paths
