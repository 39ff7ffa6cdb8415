"""The teacher of a supernet's training, as a configuration names it: its start, frozen, or another network."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ofa._calibrate import calibrate
from ofa.data import Dataset
from ofa.errors import InvalidInput
from ofa.identity import digest_of_tensors
from ofa.task import Task
from ofa.train import Teacher
from ofa.train.first_batch import check_first_batch
from ofa.weights_file import load_weights_, read_weights
from search.config.rules import Target
from search.config.training import is_average
from search.objects import make_model, make_partial
from search.run.stages import stamped_config, stamped_inputs

_TRIED = 8  # examples that a teacher is tried on
INPUT = "teacher"  # the name of a stage's input, and the key of its configuration


def start(net: nn.Module, data: Dataset, *, cache_gib: float = 2.0, calibration_images: int = 1024) -> Teacher:
    """Returns the network as its training begins, frozen, norm statistics measured: for trained weights.

    Args:
        net: before its first step.
        data: whose training inputs norm statistics are measured on, since those of a supernet are of no subnet.
        cache_gib: memory that its outputs may take, in GiB; see `ofa.train.Teacher`.
        calibration_images: how many of them.
    """
    frozen = copy.deepcopy(net).requires_grad_(False)
    return Teacher(calibrate(frozen, data.calibration(calibration_images)), _bytes(cache_gib))


def network(
    net: nn.Module, data: Dataset, *, model: Mapping[str, Any], weights: str, cache_gib: float = 2.0
) -> Teacher:
    """Returns another network with its weights from a file.

    Args:
        net: the network that learns; not used.
        data: whose sizes are passed to the model.
        model: a `model` group, of any architecture with the same outputs.
        weights: a file or a folder, see `ofa.weights_file`.
        cache_gib: memory that its outputs may take, in GiB; see `ofa.train.Teacher`.

    Raises:
        InvalidInput: weights that are missing, damaged or of another network.
    """
    with torch.random.fork_rng(devices=[]):
        made = make_model(dict(model), data.input_shape, data.num_outputs)
    load_weights_(made, weights)
    return Teacher(made, _bytes(cache_gib))


def build_teacher(config: Target | None, net: nn.Module, data: Dataset) -> nn.Module | Teacher | None:
    """Returns the teacher of a `teacher` group; None for the largest subnet, averaged or not.

    A function of the user's own is called with the network before its first step and the data, and returns a network.

    Raises:
        InvalidInput: the target makes something else.
    """
    if not config or is_average(config):
        return None
    teacher = make_partial(INPUT, config)(net, data)
    if not isinstance(teacher, nn.Module | Teacher):
        made = f"{config.get('_target_')} made a {type(teacher).__name__}"
        raise InvalidInput(f"teacher: {made}; it must return an nn.Module or an ofa.train.Teacher")
    return teacher


def check_distillation(task: Task, share: float, key: str) -> None:
    """Checks that a task can be learned from a teacher where a share of the loss is against one.

    Args:
        key: of the share.

    Raises:
        InvalidInput: it knows no distillation.
    """
    if share and task.distill is None:
        raise InvalidInput(f"{key}={share:g}: task {task.name!r} knows no distillation, so give {key}=0")


def check_teacher(config: Target | None, net: nn.Module, data: Dataset, task: Task) -> None:
    """Checks that another network which will teach `net` has its weights and fits, before a training on the way to it.

    Raises:
        InvalidInput: weights that are missing, damaged or of another network, or outputs that do not fit.
    """
    if (config or {}).get("_target_") != f"{__name__}.{network.__name__}":
        return
    teacher = build_teacher(config, net, data)
    assert isinstance(teacher, Teacher)  # it is `network` that makes it
    check_first_batch(task, net, iter(data.train.in_order(_TRIED)), torch.device("cpu"), teacher)


def teacher_inputs(config: Target | None, outputs: Iterable[Path]) -> dict[str, str]:
    """Returns the digest of the weights that a teacher reads now, as an input of its stage.

    Where the file is gone it is that of an output that was made with the same teacher.

    Raises:
        InvalidInput: a file that cannot be read.
    """
    weights = (config or {}).get("weights")
    if not isinstance(weights, str):
        return {}
    if Path(weights).exists():
        return {INPUT: digest_of_tensors(read_weights(weights))}
    for output in outputs:
        if stamped_config(output).get(INPUT) == config and (known := stamped_inputs(output).get(INPUT)):
            return {INPUT: known}
    return {}


def _bytes(gib: float) -> int:
    return int(gib * 2**30)
