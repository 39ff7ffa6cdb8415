"""The probe: a supernet's largest subnet against the same network trained alone, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ofa.data import Dataset
from ofa.errors import InvalidInput
from ofa.task import Score
from ofa.train import History
from search.objects import build_data, build_supernet, build_task
from search.run.scores import MetricFacts
from search.run.training_cards import ProbeFacts
from search.training import probe as probes
from search.training.probe import probe_of, probe_warnings
from search.training.trained import run_training
from tests.search.requests import request

ACCURACY = MetricFacts(name="accuracy", title="accuracy", unit="%")
ERROR = MetricFacts(name="rmse", title="RMSE", unit="kg", maximize=False)
SMALL = ["experiment=tiny", "data.dataset.samples=160", "train.epochs=2", "train.validate_every=0"]
SMALL += ["train.calibration_images=64", "train.optimizer.lr=0.2"]


def probed(*overrides: str, checkpoint: Path | None = None) -> History:
    """Returns the rows of a small training with a probe after the first epoch."""
    recipe = request("train", *SMALL, "train.probe_epochs=1", *overrides).recipe
    data: Dataset = build_data({"dataset": dict(recipe.data.dataset), "augment": None})
    task = build_task(recipe.task, data)
    supernet = build_supernet(recipe.model, recipe.space, data, recipe.seed, task=task)
    return run_training(supernet, data, recipe, checkpoint)


def facts(difference: float, error: float | None, alone: float = 0.9, margin: float = 1.0) -> ProbeFacts:
    return ProbeFacts(
        epochs=3,
        margin=margin,
        alone=Score(alone, 400, 0.01),
        supernet=Score(alone + difference, 400, 0.01),
        difference=Score(difference, 400, error),
    )


@pytest.mark.slow
def test_trained_alone_in_the_supernet_the_largest_is_the_probe_itself(capfd: pytest.CaptureFixture[str]) -> None:
    history = probed("train=single", "train.batch_size=32")
    assert [("probe" in row) for row in history] == [True, False]
    found = probe_of(history)
    assert found is not None and (found.epochs, found.difference.value, found.difference.standard_error) == (
        1,
        0.0,
        0.0,
    )
    assert found.alone == found.supernet and found.alone.value > 0.3  # it has learned something
    assert "train: probe: the largest subnet alone for 1 epoch" in capfd.readouterr().err


@pytest.mark.slow
def test_where_another_subnet_is_trained_alone_the_largest_is_behind_and_it_is_said_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = request("train", *SMALL).recipe
    data = build_data({"dataset": dict(recipe.data.dataset), "augment": None})
    smallest = build_supernet(recipe.model, recipe.space, data, 0).space.smallest
    arch = json.dumps(smallest.to_dict()).replace('"', "")
    way = ["train=single", "train.batch_size=32", f"train.strategy.arch={arch}", "train.calibration_images=64"]
    history = probed(*way, checkpoint=tmp_path / "checkpoint.safetensors")
    found = probe_of(history)
    assert found is not None and found.difference.value < -0.2
    said = capfd.readouterr().err
    assert said.count("warning: the supernet's largest subnet is behind the same network trained alone") == 1
    assert "train.optimizer.lr=0.2 now" in said and "train.epochs=2 now" in said
    monkeypatch.setattr(probes, "train", None)  # nothing is trained again
    assert probed(*way, checkpoint=tmp_path / "checkpoint.safetensors") == history


@pytest.mark.parametrize(
    ("metric", "found", "warns"),
    [
        (ACCURACY, facts(-0.03, 0.01), True),
        (ACCURACY, facts(-0.03, None), True),
        (ACCURACY, facts(-0.03, 0.02), False),  # luck
        (ACCURACY, facts(-0.009, 0.001), False),  # within the margin
        (ACCURACY, facts(-0.009, 0.001, margin=0.5), True),
        (ACCURACY, facts(0.03, 0.01), False),
        (ERROR, facts(3.0, 1.0, alone=200.0), True),
        (ERROR, facts(1.9, 0.1, alone=200.0), False),
        (ERROR, facts(-9.0, 1.0, alone=200.0), False),
    ],
)
def test_the_warning_goes_by_margin_luck_and_direction(metric: MetricFacts, found: ProbeFacts, warns: bool) -> None:
    training = request("train", "train.probe_epochs=3").recipe.train
    lines = probe_warnings(found, metric, training)
    assert len(lines) == warns
    assert all("after 3 epochs of both" in line and "400 validation examples" in line for line in lines)
    assert probe_warnings(None, metric, training) == []


def test_a_probe_after_the_end_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"train\.probe_epochs=9 compares during the training"):
        request("train", "train.epochs=8", "train.probe_epochs=9")
