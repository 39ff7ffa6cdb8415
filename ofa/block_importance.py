"""Importance of blocks, measured on data: which of a stage's blocks should leave first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from ofa.importance import at_full_size
from ofa.modes import in_mode
from ofa.structure.passing import LeftOut, skipped
from ofa.task import Task

if TYPE_CHECKING:
    from ofa.structure.blocks import Stage
    from ofa.supernet import Supernet


def leaving_orders(supernet: Supernet, batches: Iterable[Any], task: Task) -> dict[str, tuple[int, ...]]:
    """Returns for each stage the positions of the blocks that can go, the least important first.

    They are what `SpaceRules(depth_order_for=...)` takes. Blocks leave greedily: after the block whose absence raises
    the task's loss least, the next is the one whose absence beside it does; so the loss of every depth is measured, not
    that of blocks alone, since each block makes up for others. The other stages stay whole.

    Raises:
        InvalidInput: no batches.
    Source: the loss on removal of one layer ranks layers well (Men et al. 2024, 2403.03853, and the papers there).
    """
    loaded = list(batches)
    return {stage.name: _leaving(supernet, stage, loaded, task) for stage in supernet.structure.stages if stage.leaving}


def _leaving(supernet: Supernet, stage: Stage, batches: list[Any], task: Task) -> tuple[int, ...]:
    """The order in which a stage's blocks leave; of equal losses the last block leaves first."""
    order: list[int] = []
    gone: dict[str, LeftOut] = {}
    left = sorted(stage.leaving, reverse=True)
    while left:
        losses = {position: _loss(supernet, batches, task, gone | _alone(stage, position)) for position in left}
        least = min(left, key=losses.__getitem__)
        order.append(least)
        gone |= _alone(stage, least)
        left.remove(least)
    return tuple(order)


def _alone(stage: Stage, position: int) -> dict[str, LeftOut]:
    path = stage.blocks[position]
    return {path: LeftOut(stage.passing[path], leaves_list=False)}


def _loss(supernet: Supernet, batches: list[Any], task: Task, gone: Mapping[str, LeftOut]) -> float:
    """The mean loss over examples of the largest subnet without some blocks."""
    view = supernet.subnet(supernet.space.largest)
    total, examples = 0.0, 0
    with in_mode(view, training=False), skipped(view, gone), torch.no_grad():
        for batch in at_full_size(supernet, batches, "the importance of blocks"):
            total += float(task.loss(task.call(view, batch), batch)) * batch.examples
            examples += batch.examples
    return total / examples
