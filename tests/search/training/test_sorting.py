"""`train=adapt`: units and blocks are sorted before the training, and the run can be used and resumed as any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ofa
from ofa.errors import InvalidInput
from ofa.importance import taylor
from ofa.task import classification
from ofa.train import Teacher
from search.app.training import train_stage
from search.config.request import plain
from search.objects import build_data, build_supernet, build_task
from search.run.paths import RunFolder
from search.training import trained as trained_module
from search.training.sorting import ordered_blocks, sort_supernet_
from search.training.trained import load_trained, run_training
from tests.search.requests import request

SMALL = [
    *("data=synthetic", "data.dataset.image_size=8", "data.dataset.samples=320"),
    *("model=resnet20", "train=adapt", "train.epochs=2", "train.batch_size=32", "train.calibration_images=64"),
]


def test_sorting_keeps_the_function_and_puts_the_most_important_units_first() -> None:
    asked = request("train", *SMALL)
    data = build_data(plain(asked.data))
    supernet = build_supernet(asked.model, asked.space, data, 0)
    supernet.model.eval()
    images = data.calibration(16)
    with torch.no_grad():
        before = supernet.model(images)
        sort_supernet_(supernet, data, classification(data), asked.train, 0)
        torch.testing.assert_close(supernet.model(images), before, atol=1e-4, rtol=1e-4)
    batches = list(data.train.in_order(32))
    scores = taylor(supernet, batches, classification(data))
    falls = [np.corrcoef(np.arange(len(each)), each.numpy())[0, 1] for each in scores.values()]
    assert np.mean(falls) < -0.5  # they were sorted by other batches


def test_blocks_leave_as_measured_and_a_named_order_stays() -> None:
    asked = request("train", *SMALL, "+space.depth_order_for={stages.1:[2]}")
    data = build_data(plain(asked.data))
    supernet = build_supernet(asked.model, asked.space, data, 0)
    ordered, space = ordered_blocks(supernet, data, classification(data), asked.recipe)
    assert space["depth_order_for"]["stages.1"] == [2]
    for stage in ordered.structure.stages:
        assert list(stage.leaving) == space["depth_order_for"][stage.name]
    assert ordered.model is supernet.model
    again, same = ordered_blocks(supernet, data, classification(data), asked.recipe)
    assert same == space and again.space == ordered.space


def test_a_run_holds_the_measured_order_and_is_loaded_and_skipped(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = request("train", *SMALL, f"outputs={tmp_path}")
    assert train_stage(asked)
    said = capfd.readouterr().err
    assert "train: blocks of stages.0 leave in the order [" in said
    trained = load_trained(RunFolder(tmp_path / "main"), show=False)
    orders = trained.config["space"]["depth_order_for"]
    assert {stage.name: list(stage.leaving) for stage in trained.supernet.structure.stages} == orders
    assert not train_stage(request("train", *SMALL, f"outputs={tmp_path}"))
    with pytest.raises(InvalidInput, match=r"train\.sort\.batches"):
        train_stage(request("train", *SMALL, "train.sort.batches=9", f"outputs={tmp_path}"))


def test_a_measure_that_is_none_is_refused_before_the_training() -> None:
    asked = request("train", *SMALL, "train.sort.by._target_=ofa.importance.weight", "+train.sort.by.exmaples=3")
    data = build_data(plain(asked.data))
    supernet = build_supernet(asked.model, asked.space, data, 0)
    with pytest.raises(InvalidInput, match=r"train\.sort\.by.*exmaples"):
        sort_supernet_(supernet, data, classification(data), asked.train, 0)
    other = request("train", *SMALL, "train.sort.by._target_=ofa.sorting.importance_order")
    with pytest.raises(InvalidInput, match=r"importance_order is called with \(supernet, batches, task\)"):
        sort_supernet_(supernet, data, classification(data), other.train, 0)


@pytest.mark.slow
def test_the_frozen_start_teaches_and_is_the_same_for_the_next_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request("train", *SMALL, "train.patience=null", "teacher=start")
    assert asked.teacher["_target_"] == "search.training.teachers.start"
    assert not request("train", *SMALL).teacher
    assert request("train", *SMALL, "train=adapt_adamw").teacher == asked.teacher
    data = build_data(plain(asked.data))
    seen = []
    original = trained_module.train

    def train(supernet: ofa.Supernet, *arguments: Any, teacher: Teacher, **options: Any) -> Any:
        before = {name: value.clone() for name, value in teacher.network.state_dict().items()}
        history = original(supernet, *arguments, teacher=teacher, **options)
        assert all(torch.equal(value, before[name]) for name, value in teacher.network.state_dict().items())
        assert all(torch.equal(value, before[name]) for name, value in initial.items())
        seen.append(teacher)
        return history

    monkeypatch.setattr(trained_module, "train", train)
    histories = []
    for _ in range(2):
        supernet = build_supernet(asked.model, asked.space, data, 0)
        sort_supernet_(supernet, data, build_task(asked.task, data), asked.train, 0)
        initial = {name: value.clone() for name, value in supernet.model.named_parameters()}
        supernet = build_supernet(asked.model, asked.space, data, 0)
        histories.append(run_training(supernet, data, asked.recipe, tmp_path / "training.safetensors"))
    assert len(seen) == 2 and histories[0] == histories[1]
