"""Who teaches a network that is fine-tuned: the teachers of `ofa finetune`, chosen by name."""

from __future__ import annotations

from torch import nn

import ofa
from ofa.data import Dataset
from ofa.errors import InvalidInput, nearest
from ofa.train import Distillation, Teacher
from search.config.compressing import StudioSetting
from search.config.read import group_option
from search.config.rules import Target
from search.config.training import check_taught
from search.studio.opened import Opened
from search.training.teachers import build_teacher

NONE, LARGEST, START = "none", "largest", "start"
TEXTS = {
    NONE: "Targets alone, without a teacher.",
    LARGEST: "The supernet's largest subnet.",
    START: "The same network before anything was removed.",
}


def teachers(opened: Opened) -> dict[str, Target]:
    """Returns the teachers that there are, by name, each with its group's configuration.

    Beside those of any network it is the one of the command line, by the name of its function, such as `network`.
    """
    largest: dict[str, Target] = {} if opened.trained is None else {LARGEST: {}}
    return {NONE: {}, **largest, START: group_option("teacher", START), **_given(opened)}


def _given(opened: Opened) -> dict[str, Target]:
    config = opened.request.teacher
    return {str(config.get("_target_")).rpartition(".")[2]: config} if config else {}


def usual_teacher(opened: Opened) -> str:
    """Returns the name of the teacher where a setting names none: that of the command line, else there is none."""
    return next(iter(_given(opened)), NONE)


def teacher_texts(opened: Opened) -> dict[str, str]:
    """Returns the names of the teachers that there are, each with what it is."""
    return {name: TEXTS.get(name, "That of the command line.") for name in teachers(opened)}


def check_teacher(setting: StudioSetting, opened: Opened) -> None:
    """Checks the teacher of a setting.

    Raises:
        InvalidInput: there is no such teacher, or its share of the loss is 0.
    """
    name, there = setting.teacher or usual_teacher(opened), teachers(opened)
    if name not in there:
        raise InvalidInput(f"setting.teacher={name!r} is not there; {nearest(name, there)}")
    if name != NONE:
        check_taught({"_target_": name}, opened.request.finetune.distill, "finetune.distill")


def distillation_of(setting: StudioSetting, network: nn.Module, data: Dataset, opened: Opened) -> Distillation | None:
    """Returns what a network learns besides targets as a setting says, from the network before its first step."""
    name = setting.teacher or usual_teacher(opened)
    if name == NONE:
        return None
    finetune = opened.request.finetune
    if name == LARGEST:
        assert opened.trained is not None  # it is offered there alone
        supernet = opened.trained.supernet
        largest = supernet.extract(supernet.space.largest).requires_grad_(False)
        teacher: nn.Module | Teacher | None = ofa.calibrate(
            largest, opened.trained.calibration(finetune.calibration_images)
        )
    else:
        teacher = build_teacher(teachers(opened)[name], network, data)
    assert teacher is not None  # only the largest has no configuration
    return Distillation(teacher, finetune.distill, finetune.temperature)
