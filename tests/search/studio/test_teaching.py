"""A fine-tuning in the studio learns from the teacher that its setting names, as one by the library does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import ofa
from ofa.checkpoint import save_checkpoint
from ofa.errors import InvalidInput
from ofa.train import Distillation, train_network
from search.config.compressing import StudioSetting
from search.studio.opened import Opened, open_studio
from search.studio.session import Session
from search.studio.shaping import Workbench
from search.studio.teaching import teacher_texts, usual_teacher
from tests.search.requests import request

SMALLER = {"width.stem.conv": 8}


def tuned(opened: Opened, **setting: Any) -> dict[str, torch.Tensor]:
    made = Workbench(opened).shape(StudioSetting(arch=SMALLER, epochs=1, **setting), lambda piece: None)
    return made.network.state_dict()


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def subnet(opened: Opened, arch: ofa.Arch, images: int = 1024) -> nn.Module:
    """As a teacher, unless fewer images are said."""
    assert opened.supernet is not None
    return ofa.calibrate(opened.supernet.extract(arch), opened.data.calibration(images))


def by_library(opened: Opened, teacher: nn.Module) -> dict[str, torch.Tensor]:
    assert opened.supernet is not None
    network = subnet(opened, opened.supernet.space.arch(SMALLER), 128)
    settings = opened.training
    assert settings is not None
    settings = replace(settings, epochs=1, minutes=None, patience=None)
    train_network(network, opened.data, settings, task=opened.task, distillation=Distillation(teacher, 0.5))
    return ofa.calibrate(network.eval(), opened.calibration).state_dict()


def test_each_teacher_is_that_of_the_library(opened: Opened) -> None:
    assert opened.supernet is not None
    space = opened.supernet.space
    assert list(teacher_texts(opened)) == ["none", "largest", "start"] and usual_teacher(opened) == "none"
    largest, start = tuned(opened, teacher="largest"), tuned(opened, teacher="start")
    assert same(largest, by_library(opened, subnet(opened, space.largest)))
    assert same(start, by_library(opened, subnet(opened, space.arch(SMALLER))))
    assert not same(largest, start) and not same(largest, tuned(opened))


def test_a_teacher_of_the_command_line_is_the_usual_one(opened: Opened, tmp_path: Path) -> None:
    assert opened.supernet is not None
    file = tmp_path / "teacher.safetensors"
    save_checkpoint(file, subnet(opened, opened.supernet.space.largest).state_dict(), {})
    model = ["model@teacher.model=resnet20", "teacher.model.depth=8", "teacher.model.widths=[16,16,32]"]
    words = ["run=tiny", "calibration_images=128", "teacher=network", f"teacher.weights={file}", *model]
    taught = open_studio(request("studio", *words))
    state = Session(taught).state()
    assert list(state["teachers"]) == ["none", "largest", "start", "network"] and state["usual_teacher"] == "network"
    assert same(tuned(taught), tuned(opened, teacher="largest"))
    assert same(tuned(taught, teacher="none"), tuned(opened))


def test_a_teacher_that_cannot_teach_is_refused(opened: Opened) -> None:
    with pytest.raises(InvalidInput, match=r"setting\.teacher='larges' is not there; did you mean largest"):
        tuned(opened, teacher="larges")
    silent = open_studio(request("studio", "run=tiny", "calibration_images=128", "finetune.distill=0"))
    with pytest.raises(InvalidInput, match=r"teacher=start teaches nothing with finetune\.distill=0"):
        tuned(silent, teacher="start")
    with pytest.raises(InvalidInput, match="teacher=average is of the training of a supernet"):
        request("studio", "run=tiny", "teacher=average")
