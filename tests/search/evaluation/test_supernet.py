"""The Evaluator: calibrated, cached on disk, safe to share."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from ofa._calibrate import calibrate
from ofa._evaluate import evaluate
from ofa.arch import Arch
from ofa.data import Dataset
from ofa.data.dataset import Preprocessing, Split
from ofa.data.selection import Selection
from ofa.errors import InvalidInput
from ofa.supernet import Supernet
from ofa.task import Metric, Score, classification
from search.candidates.space import Evaluation
from search.evaluation.caches import ScoreCache
from search.evaluation.supernet import Evaluator
from search.run.stored_inputs import settings_digest
from tests.search.scored import evaluation, scored

A, B = Arch(width={"stem": 8}), Arch(width={"stem": 16})


class Fake:
    """A supernet whose views are right about `width` of 16 images, and that counts what is asked of it."""

    def __init__(self, digest: str = "abc") -> None:
        self.digest, self.asked = digest, list[Arch]()

    def subnet(self, arch: Arch) -> nn.Module:
        self.asked.append(arch)
        return Right(arch.width["stem"])


class Right(nn.Module):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, images: Tensor) -> Tensor:
        index = images[:, 0, 0, 0]
        right = (index < self.count).float()
        logits = torch.stack([right, 1 - right, -torch.ones_like(right)], dim=1)
        return logits if self.count < 99 else torch.full_like(logits, torch.nan)


IMAGES = torch.arange(16.0).reshape(16, 1, 1, 1)
LABELS = torch.zeros(16, dtype=torch.int64)


def evaluator(fake: Fake, cache: Path | None = None, **changes: Any) -> Evaluator:
    given = {"images": IMAGES, "labels": LABELS, "calibration": IMAGES[:4], "metrics": ("accuracy",)} | changes
    data = data_of(given.pop("images"), given.pop("labels"))
    task = classification(data, metrics=given.pop("metrics"))
    return Evaluator(cast(Supernet, fake), data, task, cache=cache, **given)


def data_of(images: Tensor, labels: Tensor) -> Dataset:
    split = Split(images, labels, Preprocessing(1.0, (0.0,), (1.0,)))
    return Dataset("made", split, split, split, num_classes=3)


def test_a_second_search_costs_nothing(tmp_path: Path) -> None:
    first, second = Fake(), Fake()
    assert evaluator(first, tmp_path)(A).score.value == 0.5
    again = evaluator(second, tmp_path)
    assert again(A) == Evaluation({"accuracy": Score(0.5, 16, 0.125)}, 0.0, cached=True)
    fresh = again(B)
    assert (fresh.score.value, fresh.cached) == (1.0, False)
    assert again(B).cached
    assert (first.asked, second.asked) == ([A], [B])


@pytest.mark.parametrize(
    "change",
    [
        {"labels": torch.ones(16, dtype=torch.int64)},
        {"calibration": IMAGES[:5]},
        {"images": IMAGES + 1},
        {"batch_size": 7},
        {"metrics": ("accuracy", "macro_f1")},
    ],
)
def test_other_images_or_settings_share_nothing(tmp_path: Path, change: dict[str, Any]) -> None:
    evaluator(Fake(), tmp_path)(A)
    other = Fake()
    evaluator(other, tmp_path, **change)(A)
    evaluator(Fake("other"), tmp_path)(A)
    assert other.asked == [A]
    assert len(list(tmp_path.iterdir())) == 3


def test_nan_is_said_and_not_kept(tmp_path: Path) -> None:
    broken = Arch(width={"stem": 99})
    once = evaluator(Fake(), tmp_path)
    with pytest.raises(InvalidInput, match="NaN"):
        once(broken)
    assert once.cache is not None
    assert once.cache.get(broken) is None


def test_all_metrics_are_returned_and_cached(tmp_path: Path) -> None:
    names = ("balanced_accuracy", "accuracy")
    found = evaluator(Fake(), tmp_path, metrics=names)(A)
    assert tuple(found.scores) == names
    assert all(score.examples == 16 and score.standard_error is not None for score in found.scores.values())
    assert evaluator(Fake(), tmp_path, metrics=names)(A).scores == found.scores


def test_a_metric_that_is_not_a_number_is_said(tmp_path: Path) -> None:
    data = data_of(IMAGES, LABELS)
    broken = Metric(name="ratio", statistics=lambda outputs, batch: torch.zeros(len(outputs), 2), value=ratio)
    task = replace(classification(data), metrics=(broken,))
    with pytest.raises(InvalidInput, match="ratio of 16 examples is nan; a metric must be a finite number"):
        Evaluator(cast(Supernet, Fake()), data, task, IMAGES[:4])(A)


def ratio(sums: Tensor) -> Tensor:
    return sums[..., 0] / sums[..., 1]


@pytest.mark.parametrize("tail", [b'{"digest":"x","accu', b"garbage\n", b'{"digest":"y"}\n', b"\x00\xff"])
def test_a_torn_line_loses_that_line_alone(tmp_path: Path, tail: bytes) -> None:
    cache = ScoreCache(tmp_path / "a.jsonl")
    cache.put(A, evaluation(0.5, 1.0))
    with open(cache.path, "ab") as file:
        file.write(tail)
    again = ScoreCache(cache.path)
    assert again.get(A) == scored(0.5)
    again.put(B, evaluation(0.75, 1.0))
    assert ScoreCache(cache.path).get(B) == scored(0.75)
    assert len(ScoreCache(cache.path)) == 2
    assert cache.get(B) == scored(0.75)  # an open cache sees what others append
    assert json.loads(cache.path.read_text(errors="replace").splitlines()[-1])["arch"] == B.to_dict()


def test_several_writers_append_at_once(tmp_path: Path) -> None:
    def write(first: int) -> None:
        cache = ScoreCache(tmp_path / "a.jsonl")  # a file descriptor a write, as in processes of their own
        for width in range(first, first + 200):
            cache.put(Arch(width={"stem": width}), evaluation(0.5, 1.0))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, (0, 200, 400)))
    assert len(ScoreCache(tmp_path / "a.jsonl")) == 600


def test_a_real_supernet_is_calibrated_and_left_as_it_was(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 16, 3)
    )
    images, labels = torch.randn(64, 1, 4, 4), torch.randint(0, 3, (64,))
    supernet = Supernet(model, images[:2])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    data = data_of(images, labels)
    made = Evaluator(supernet, data, classification(data), images, cache=tmp_path)
    accuracy = made(supernet.space.smallest).score.value
    view = calibrate(supernet.extract(supernet.space.smallest), images)
    assert accuracy == evaluate(view, images, labels)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_calibration_images_that_are_read_again_are_those_that_are_held() -> None:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (40, 3, 6, 6), dtype=torch.uint8)
    split = Split(images, torch.arange(40) % 3, Preprocessing(255.0, (0.5,) * 3, (0.2,) * 3))
    data = Dataset("made", split, split, split, num_classes=3)
    supernet = Supernet(
        nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.Flatten(), nn.Linear(256, 3)), images[:2] / 255
    )
    rows = torch.randperm(40)[:20]
    sources = [split.take(rows)[0], Selection(split, rows), Selection(split, rows.flip(0))]
    made = [Evaluator(supernet, data, classification(data), source, batch_size=7) for source in sources]
    arch = supernet.space.largest
    assert made[0](arch).scores == made[1](arch).scores
    assert len({each.digest for each in made}) == 3
    states = [calibrate(supernet.subnet(arch), source, 7).state_dict()["1.running_var"] for source in sources]
    assert torch.equal(states[0], states[1]) and not torch.equal(states[1], torch.ones(16))


def test_settings_digest_sees_shape_and_type() -> None:
    zeros = torch.zeros(2, 3)
    assert settings_digest(zeros) != settings_digest(zeros.reshape(3, 2))
    assert settings_digest(zeros) != settings_digest(torch.zeros(2, 3, dtype=torch.int32))
    assert settings_digest(zeros, 1) != settings_digest(zeros, 2)


def test_what_is_tried_beforehand_is_in_the_cache_once_it_is_kept(tmp_path: Path) -> None:
    fake = Fake()
    tried = evaluator(fake, tmp_path)
    found = tried.evaluated_now(A)
    assert not list(tmp_path.iterdir())
    tried.keep(A, found)
    assert tried(A).cached and not tried.evaluated_now(A).cached
    tried.keep(A, found)
    assert fake.asked == [A, A]
    (file,) = tmp_path.iterdir()
    assert len(file.read_text().splitlines()) == 1
