"""What `search.find` cannot take is refused in one line."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch

import ofa
import search
from ofa.errors import InvalidInput
from search.evaluation.supernet import Evaluator
from tests.search.door.small import DEVICE, MET, QUICK, data, supernet


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"limits": {"latency": 4}}, r"limits has 'latency', no figure and no metric; did you mean latency_ms\?"),
        ({"limits": 4}, r"limits=4 must be a mapping, such as"),
        ({"limits": {"params": -1}}, r"limits\.params=-1 must be a number of params above 0"),
        ({"limits": {"latency_ms": "4"}}, r"latency_ms='4' must be a number of milliseconds above 0"),
        ({"limits": {"params": 3}}, r"params=3 cannot be met: the smallest reachable is \d+ params"),
        (
            {"limits": {"latency_ms": {"pi5": 3}}},
            r"limits name the device 'pi5', and only 'onnxruntime'",
        ),
        ({"device": "onxruntime"}, r"device='onxruntime' is not known; did you mean onnxruntime"),
        ({"device": {"name": "mine", "runtime": {"_target_": "os.getcwd"}}}, r"'os\.getcwd' is not a runtime"),
        ({"device": 3}, r"device=3 must be a name"),
        ({"device": "pi5"}, r"device=pi5 is another machine"),
        ({"sampler": "nsga"}, r"sampler='nsga' is not known; did you mean nsga"),
        ({"sampler": optuna.samplers.RandomSampler()}, r"sampler=<.* must be a name, such as 'nsga2'"),
        ({"objective": "accurate"}, r"objective 'accurate' is unknown; did you mean accuracy\?"),
        ({"evaluations": 0}, r"search\.evaluations=0 must be a whole number, at least 1"),
        ({"evaluation": 9}, r"search\.evaluation is unknown; did you mean evaluations"),
        ({"seed": 1.5}, r"seed=1\.5 must be a whole number"),
        ({"finetune": "defualt"}, r"finetune='defualt' is not known; did you mean default\?"),
        ({"finetune": {"epoch": 3}}, r"finetune\.epoch is unknown; did you mean epochs"),
        ({"finetune": True}, r"finetune=True must be 'default', a mapping of keys"),
        ({"run": "a/b"}, r"run='a/b' must be a plain name"),
    ],
)
def test_wrong_input_is_one_line(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        search.find(supernet(), data(), **{"limits": MET, "evaluations": 3, **QUICK, **wrong})
    assert "\n" not in str(caught.value)


def test_a_task_without_distillation_is_no_reason_to_search_first(tmp_path: Path) -> None:
    task = dataclasses.replace(ofa.task.classification(data()), distill=None)
    with pytest.raises(InvalidInput, match=r"finetune\.distill=0\.5: task 'classification' knows no distillation"):
        search.find(supernet(), data(), MET, task=task, finetune="default", run="mine", outputs=tmp_path, **QUICK)
    assert not list(tmp_path.rglob("*.json"))


def test_numbers_of_numpy_and_tuples_are_taken() -> None:
    wrong = {"latency_ms": (np.float64(0.01), np.float32(1e-9)), "params": np.int64(8000)}
    with pytest.raises(InvalidInput, match="latency_ms=1e-09"):  # it came as far as the limits themselves
        search.find(supernet(), data(), wrong, evaluations=np.int64(3), **{**QUICK, "device": DEVICE})


def test_networks_and_data_of_another_kind_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"search\.find takes an ofa\.Supernet, not a Net: .*ofa\.Supernet\(network"):
        search.find(supernet().model, data())  # type: ignore[arg-type]
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.zeros(4, 1, 8, 8)))
    with pytest.raises(InvalidInput, match=r"takes an ofa\.data\.Dataset, not a DataLoader: .*from_tensors"):
        search.find(supernet(), loader)  # type: ignore[arg-type]
    with pytest.raises(
        InvalidInput, match=r"digits has inputs \(1, 16, 16\), and the supernet was made for \(1, 8, 8\)"
    ):
        search.find(supernet(), ofa.data.digits(image_size=16))
    with pytest.raises(InvalidInput, match=r"Net returns \(2, 4\) .* needs logits \(2, 10\)"):
        search.find(supernet(num_classes=4), data())


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_split_that_does_not_fit_leaves_no_folder(part: str, tmp_path: Path) -> None:
    split = getattr(data(), part)
    unnamed: dict[str, Any] = {"num_classes": None, "class_names": (), "outputs": 10}  # its own check is of classes
    broken = dataclasses.replace(data(), **unnamed, **{part: dataclasses.replace(split, targets=split.targets + 5)})
    for use in (search.find, search.adopt):
        with pytest.raises(InvalidInput, match=f"{part} split: .*the labels run from 5 to 14"):
            use(supernet(), broken, run="mine", outputs=tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_the_validation_split_of_a_run_is_tried_before_it_is_profiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search.adopt(supernet(), data(), "mine", tmp_path)
    monkeypatch.setattr(Evaluator, "evaluated_now", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        search.find(supernet(), data(), MET, run="mine", outputs=tmp_path, **QUICK)
    assert not (tmp_path / "mine/profiles").exists()
