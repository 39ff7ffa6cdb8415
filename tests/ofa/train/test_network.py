"""The loop of plain networks: it learns, resumes to the same bits with its pruner, distils, and refuses."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from ofa._evaluate import evaluate
from ofa.data import Dataset, synthetic
from ofa.data.augment import random_shift
from ofa.errors import InvalidInput
from ofa.task import classification
from ofa.train import Distillation, constant, progress_rows
from ofa.train.teacher_batches import TeacherBatches
from tests.ofa.train.network_training import ADAMW, QUICK, STEPS, Halving, Stop, fit, net, same


def killed_at(step: int):
    """Makes a pruner that kills the process at a step; in a checkpoint's settings it looks like `Halving`."""

    def make(model, optimizer, total_steps, batches):
        return Halving(model, optimizer, total_steps, batches, stop=step)

    make.__module__, make.__qualname__ = Halving.__module__, Halving.__qualname__
    return make


@pytest.fixture(scope="module")
def data() -> Dataset:
    return synthetic(image_size=8, num_classes=4, samples=200, seed=0)


def without_time(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def test_learns_and_tells(data):
    model = net()
    training = fit(model, data, **QUICK | {"epochs": 12, "batch_size": 16, "validate_every": 6})
    assert [row["epoch"] for row in training.history] == list(range(1, 13))
    assert training.history[-1]["step"] == 12 * 7
    assert training.history[-1]["loss"] < training.history[0]["loss"]
    assert [row["epoch"] for row in training.history if "scores" in row] == [4, 6, 12]  # 4: a third
    measured = training.history[-1]["scores"]["network"]["accuracy"]
    assert measured == evaluate(model, data.validation.images, data.validation.labels) > 0.8
    assert training.pruner is None


def test_is_the_textbook_loop(data):
    """Independent of all helpers: the same batches through cross entropy, SGD and clipping by hand."""
    model, textbook = net(), net()
    settings = QUICK | {"epochs": 2, "schedule": constant, "validate_every": 0}
    for module in (model, textbook):
        module.dropout.p = 0.0
    fit(model, data, **settings)
    optimizer = torch.optim.SGD(
        [
            {"params": [textbook.conv.weight, textbook.head.weight], "weight_decay": 1e-4},
            {"params": [textbook.norm.weight, textbook.norm.bias, textbook.head.bias]},
        ],
        lr=0.05,
        momentum=0.9,
    )
    feed = TeacherBatches(data.train, 32, 0, torch.device("cpu"), classification(data))
    textbook.train()
    for epoch in range(2):
        seen = 0
        for images, labels, _ in feed.epoch(epoch):
            optimizer.zero_grad()
            functional.cross_entropy(textbook(images), labels).backward()
            nn.utils.clip_grad_norm_(textbook.parameters(), 1.0)
            optimizer.step()
            seen += len(images)
        assert seen == 96
    for one, other in zip(model.parameters(), textbook.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_epochs_hold_every_image_once_in_another_order(data):
    feed = TeacherBatches(data.train, 32, 5, torch.device("cpu"), classification(data))
    orders = []
    for epoch in (0, 1):
        images = torch.cat([batch for batch, _, _ in feed.epoch(epoch)])
        assert len(torch.unique(images.flatten(1), dim=0)) == 96
        orders.append(images)
    assert not torch.equal(*orders)
    rest = torch.cat([batch for batch, _, _ in feed.epoch(1, start=1)])
    assert torch.equal(rest, orders[1][32:])


@pytest.mark.parametrize("change", [{}, {"validate_every": 0}, {"validate_every": 1}], ids=str)
@pytest.mark.parametrize("augment", [None, partial(random_shift, pixels=1)], ids=["plain", "augmented"])
def test_same_seed_same_bits_whatever_is_watched(data, change, augment):
    first, second = net(), net()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    fit(first, data, **QUICK, augment=augment, prune=Halving)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    watched = QUICK | change | {"augment": augment, "prune": Halving}
    fit(second, data, **watched, callbacks=[progress_rows(lambda row: torch.rand(3))])
    assert same(first, second)
    other = net()
    fit(other, data, **QUICK, augment=augment, prune=Halving, seed=1)
    assert not same(first, other)


RECIPES = {
    "sgd": {},
    "adamw": {"optimizer": ADAMW},
    "augmented": {"augment": partial(random_shift, pixels=1)},
    "bfloat16": {"precision": "bfloat16"},
    "float16": {"precision": "float16"},
    "int8": {"precision": "int8"},
    "teacher": {"distillation": Distillation(net(7), 0.5, temperature=2.0)},
    "all": {"accumulation": 2, "ema": 0.5, "optimizer": ADAMW, "distillation": Distillation(net(7), 0.5)},
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(("every", "stops"), [(1, (2, 4)), (2, (3, 6, 8))], ids=str)
def test_resume_gives_the_same_bits(data, tmp_path, recipe, every, stops):
    settings = QUICK | RECIPES[recipe]
    path = tmp_path / "training.safetensors"
    saving = {"checkpoint": path, "checkpoint_steps": every}
    whole = net()
    training = fit(whole, data, **settings, prune=Halving)
    for step in stops:
        with pytest.raises(Stop):  # once there is a file, the weights come from it and from nowhere else
            fit(net(9 if path.exists() else 0), data, **settings, prune=killed_at(step), **saving)
    resumed = net(9)
    again = fit(resumed, data, **settings, prune=Halving, **saving)
    assert without_time(again.history) == without_time(training.history)
    assert same(whole, resumed)
    assert torch.equal(again.pruner.mask, training.pruner.mask)
    assert again.pruner.density < 1


@pytest.mark.parametrize("stop", [1, 3, 5, STEPS])
def test_a_training_in_two_parts_is_the_whole_one(data, tmp_path, stop):
    path = tmp_path / "training.safetensors"
    whole, parts = net(), net()
    training = fit(whole, data, **QUICK, prune=Halving)
    first = fit(parts, data, **QUICK, prune=Halving, checkpoint=path, stop_step=stop)
    assert first.pruner.count == stop
    assert len(first.history) == stop // 3
    resumed = net(9)
    rest = fit(resumed, data, **QUICK, prune=Halving, checkpoint=path)
    assert without_time(rest.history) == without_time(training.history)
    assert same(whole, resumed)
    assert same(whole, parts) == (stop == STEPS)


def test_a_finished_training_is_loaded_and_not_repeated(data, tmp_path):
    path = tmp_path / "training.safetensors"
    first, second = net(), net(9)
    training = fit(first, data, **QUICK, checkpoint=path)
    written = path.stat().st_mtime_ns
    assert fit(second, data, **QUICK, checkpoint=path).history == training.history
    assert same(first, second)
    assert path.stat().st_mtime_ns == written


@pytest.mark.parametrize("kept", [0, 7, 0.5, 0.999])
def test_a_truncated_checkpoint_is_refused_and_kept(data, tmp_path, kept):
    path = tmp_path / "training.safetensors"
    fit(net(), data, **QUICK, checkpoint=path)
    content = path.read_bytes()
    content = content[: int(kept * len(content)) if isinstance(kept, float) else kept]
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=f"{path} is truncated"):
        fit(net(), data, **QUICK, checkpoint=path)
    assert path.read_bytes() == content


def test_a_loss_that_is_not_finite_names_the_step(data, tmp_path):
    model = net()
    with torch.no_grad():
        model.head.weight.fill_(math.nan)
    with pytest.raises(InvalidInput, match=r"loss is nan at step 0 of 9: the model returns NaN.*check the model"):
        fit(model, data, **QUICK, checkpoint=tmp_path / "training.safetensors")
    assert not list(tmp_path.iterdir())
    with pytest.raises(InvalidInput, match=r"step \d of 9: .*lower the learning rate"):
        fit(net(), data, **QUICK | {"optimizer": partial(torch.optim.SGD, lr=1e30), "gradient_clip": None})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": -1}, "epochs=-1"),
        ({"seed": -1}, "seed=-1"),
        ({"gradient_clip": 0.0}, "gradient_clip=0.0"),
        ({"precision": "float8"}, "precision 'float8' is unknown; did you mean float32"),
        ({"precision": "int8", "compile": True}, "rounds what layers are called with, which compile=True goes past"),
        ({"stop_step": -1}, "stop_step=-1"),
        ({"start_step": -1}, "start_step=-1"),
        ({"scoring": 0}, "scoring=0"),
    ],
)
def test_settings_out_of_range_are_refused(data, change, words):
    with pytest.raises(InvalidInput, match=words):
        fit(net(), data, **QUICK | change)
