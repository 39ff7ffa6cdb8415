"""Candidates of a smaller resolution are evaluated and fine-tuned on images of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import ofa
from ofa._evaluate import evaluate
from ofa.data import Dataset
from ofa.identity import digest_of
from ofa.train import Distillation, NetworkTraining, train_network
from search.app.main import main
from search.candidates.space import CandidateSpace
from search.evaluation.supernet import Evaluator, held_out_scores
from search.run.paths import RunFolder
from search.training.trained import Trained, load_trained
from tests.search.evaluation.conftest import made


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("resolutions") / "outputs"
    assert main(["train", "experiment=tiny", "train.epochs=2", "space.resolutions=[4,6]", f"outputs={folder}"]) == 0
    return RunFolder(folder / "tiny")


@pytest.fixture(scope="module")
def trained(small: RunFolder) -> Trained:
    return load_trained(small)


def by_hand(trained: Trained, arch: ofa.Arch, calibration: torch.Tensor, split: str) -> float:
    view = ofa.calibrate(trained.supernet.subnet(arch), ofa.resized(calibration, arch))
    part = getattr(trained.data, split)
    return ofa.evaluate(view, ofa.resized(part.images, arch), part.labels)


@pytest.mark.parametrize("height", [4, 6, 8])
def test_the_evaluator_sees_images_of_the_resolution(trained: Trained, height: int, tmp_path: Path) -> None:
    arch, data = trained.supernet.space.arch({"resolution.input": height}), trained.data
    calibration = data.calibration(64)
    evaluator = Evaluator(trained.supernet, data, trained.task, calibration, batch_size=24, cache=tmp_path)
    with torch.no_grad():
        first = ofa.calibrate(trained.supernet.subnet(arch), ofa.resized(calibration, arch), 24)
    wanted = ofa.evaluate(first, ofa.resized(data.validation.images, arch), data.validation.labels)
    assert evaluator(arch).score.value == wanted
    assert evaluator(arch).cached
    held_out = held_out_scores(trained.supernet, arch, data, trained.task, calibration)
    assert held_out.validation["accuracy"].value == by_hand(trained, arch, calibration, "validation")
    assert held_out.test["accuracy"].value == by_hand(trained, arch, calibration, "test")


def test_the_card_of_a_supernet_has_both_ends_at_their_resolutions(trained: Trained) -> None:
    images = int(trained.config["train"]["calibration_images"])
    smallest = trained.supernet.space.smallest
    assert smallest.resolution == {"input": 4}
    calibration = trained.data.calibration(images)
    assert trained.card.scores.smallest.test["accuracy"].value == by_hand(trained, smallest, calibration, "test")


def test_a_candidate_is_tuned_at_its_resolution_with_a_teacher_of_it(
    small: RunFolder, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[Dataset, Distillation]] = []

    def training(net: Any, data: Dataset, *rest: Any, **options: Any) -> NetworkTraining:
        given.append((data, options["distillation"]))
        return train_network(net, data, *rest, **options)

    monkeypatch.setattr("search.evaluation.tune.train_network", training)
    tuning = made(small, trained)
    space = CandidateSpace(trained.supernet.space, tuning.keys.parameters)
    arch = trained.supernet.space.arch({"resolution.input": 4})
    candidate = space.candidate(arch, {"regularizer": "none", "distill": 0.5, "sparsity": 0.0})
    found = tuning.tuner.tune(candidate, tuning.tuner.settings(candidate))
    assert found.model is not None
    at_its_own = evaluate(found.model, ofa.resized(trained.data, arch).validation.in_order())
    assert found.scores["accuracy"].value == at_its_own == found.history[-1].value("network", "accuracy")
    ((data, distillation),) = given
    assert data.input_shape == (1, 4, 4)
    calibration = ofa.resized(trained.data.calibration(64), arch)
    teacher = ofa.calibrate(trained.supernet.extract(arch), calibration)  # all but the resolution is the largest
    assert digest_of(distillation.teacher) == digest_of(teacher)
