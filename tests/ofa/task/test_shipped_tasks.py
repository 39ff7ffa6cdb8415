"""The contract that every shipped task keeps, and every config of conf/task."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf

from ofa.task import Task
from search.objects import make_partial
from search.run.paths import conf_dir
from tests.composed import options

DATA = SimpleNamespace(
    num_classes=4,
    class_names=("a", "b", "c", "d"),
    train=SimpleNamespace(labels=torch.tensor([0, 1, 2, 3, 3, 2])),
)


@pytest.mark.parametrize("name", options("task"))
def test_every_config_makes_its_task(name: str) -> None:
    config = OmegaConf.to_container(OmegaConf.load(conf_dir() / f"task/{name}.yaml"))
    task = make_partial("task", config)(DATA)
    assert isinstance(task, Task)
    assert task.name == name
