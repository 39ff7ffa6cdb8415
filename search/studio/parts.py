"""The options of a setting as parts of a pruner, from the same configurations that every verb has."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from hydra.errors import InstantiationException
from torch import nn

from ofa.data import Dataset
from ofa.errors import InvalidInput, nearest
from ofa.prune import Pruner
from ofa.prune.allocation import per_layer
from ofa.prune.context import Allocation, Batches
from ofa.prune.schedules import Schedule
from search.config.compressing import StudioSetting
from search.config.read import group_option
from search.objects import make, make_partial
from search.run.paths import conf_dir
from search.studio.opened import Opened

MENUS = {  # options of conf/prune that hold for any network, without files or settings of its own
    "criterion": ("movement",),  # options that are left out: movement learns from steps of training
    "allocation": ("by_group", "per_layer", "budget"),  # each layer has a slider; a budget has its own figure
    "granularity": ("channel", "channel_latency"),  # the sliders of shape do that
    "schedule": ("none", "soft"),  # the sliders decide what goes; zeros that come back are no picture of a mask
}


def menu(group: str) -> dict[str, str]:
    """Returns the options of a group of conf/prune that the studio offers, each with what its file says first."""
    return {name: text for name, text in option_texts(f"prune/{group}").items() if name not in MENUS[group]}


def option_texts(group: str) -> dict[str, str]:
    """Returns the options of a group of the configuration, each with what its file says of it first."""
    return {path.stem: _first_words(path) for path in sorted((conf_dir() / group).glob("*.yaml"))}


def _first_words(path: Path) -> str:
    lines = (line.lstrip("# ") for line in path.read_text(encoding="utf-8").splitlines())
    return next(line for line in lines if not line.startswith("@package"))


def pruner_of(
    network: nn.Module,
    setting: StudioSetting,
    opened: Opened,
    optimizer: torch.optim.Optimizer | None = None,
    *,
    data: Dataset,
    schedule: Schedule | None = None,
    batches: Batches | None = None,
) -> Pruner:
    """Returns the pruner of a setting, with what was removed before removed.

    Raises:
        InvalidInput: parts that do not fit each other.
    """
    pruner = Pruner(
        network,
        optimizer,
        criterion=_part("criterion", setting.criterion),
        allocation=allocation_of(setting),
        granularity=_part("granularity", setting.granularity),
        example_input=data.example(generator=torch.Generator().manual_seed(0)),
        batches=batches,
        task=opened.task,
        schedule=schedule,
    )
    if before := {name: mask for name, mask in opened.masks.items() if name in pruner.masks}:
        pruner.set_masks({name: mask & pruner.masks[name] for name, mask in before.items()})
    return pruner


def allocation_of(setting: StudioSetting) -> Allocation:
    """Returns the allocation of a setting: layers of their own share first, the others by the option."""
    others: Allocation = _part("allocation", setting.allocation)
    if not setting.layers:
        return others
    if not setting.sparsity:
        others = partial(per_layer, rates={"*": 0.0})
    return partial(per_layer, sparsities=dict(setting.layers), otherwise=others)


def schedule_of(name: str, final: float, times: Mapping[str, Any] = MappingProxyType({})) -> Schedule:
    """Returns the schedule of an option of conf/prune/schedule that ends at a sparsity, with other times if given.

    Raises:
        InvalidInput: another option, or times that cannot be.
    """
    if name not in menu("schedule"):
        raise InvalidInput(f"setting.schedule={name!r} is not known; {nearest(name, menu('schedule'))}")
    try:
        schedule: Schedule = make({**group_option("prune/schedule", name), "final": final, **times})
    except InstantiationException as error:
        raise error.__cause__ if isinstance(error.__cause__, InvalidInput) else error from None
    return schedule


def _part(group: str, name: str) -> Any:
    """The function of an option, or the object that is called like one."""
    if name not in menu(group):
        raise InvalidInput(f"setting.{group}={name!r} is not known; {nearest(name, menu(group))}")
    config = group_option(f"prune/{group}", name)
    return make_partial(f"setting.{group}", config) if config.get("_partial_") else make(config)
