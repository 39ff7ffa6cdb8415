"""A supernet's training learns, can be stopped anywhere, and refuses what it cannot use."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from ofa._calibrate import calibrate
from ofa._evaluate import evaluate
from ofa.data.augment import random_shift
from ofa.errors import InvalidInput
from ofa.train import (
    OFA_PHASES,
    TrainSettings,
    constant,
    progress_rows,
    progressive,
    restarts,
    sandwich,
    single,
    train,
)

SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4, fused=True)
ADAMW = partial(torch.optim.AdamW, lr=0.01, weight_decay=0.05)
QUICK = {
    "strategy": sandwich,
    "optimizer": SGD,
    "epochs": 3,
    "batch_size": 32,
    "augment": partial(random_shift, pixels=1),
    "gradient_clip": 1.0,
    "validate_every": 2,
}
STEPS = 3 * (120 // 32)


def fit(supernet, data, *, checkpoint=None, callbacks=(), **changes):
    """Trains with the settings of QUICK, but for `changes`."""
    settings = QUICK | changes
    strategy = settings.pop("strategy")
    return train(supernet, data, strategy, TrainSettings(**settings), checkpoint=checkpoint, callbacks=callbacks)


class Stop(Exception):
    """The process ends here."""


def stop_at(step: int, strategy=sandwich):
    """A strategy that is killed in the middle of a step."""

    def stopping(supernet, images, labels, context):
        loss = strategy(supernet, images, labels, context)
        if context.step == step:
            raise Stop
        return loss

    # As the same setting as the strategy itself: a process that was killed had no other.
    stopping.__module__, stopping.__qualname__ = strategy.__module__, strategy.__qualname__
    return stopping


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def without_time(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def test_ended_at_a_step_it_is_the_training_up_to_there(make_supernet, data, tmp_path):
    whole, part = make_supernet(), make_supernet()
    fit(whole, data, **QUICK)
    history = fit(part, data, **QUICK, checkpoint=tmp_path / "c.safetensors", stop_step=5)
    assert [row["epoch"] for row in history] == [1]  # three steps are an epoch, and five are not two
    assert not same(whole.model, part.model)
    fit(part, data, **QUICK, checkpoint=tmp_path / "c.safetensors")
    assert same(whole.model, part.model)
    untouched = make_supernet()
    assert fit(untouched, data, **QUICK, stop_step=0) == []
    assert same(untouched.model, make_supernet().model)
    with pytest.raises(InvalidInput, match="stop_step=-1"):
        fit(untouched, data, **QUICK, stop_step=-1)


def test_learns_and_tells(make_supernet, data):
    supernet = make_supernet()
    history = fit(supernet, data, **QUICK | {"epochs": 12, "batch_size": 16, "validate_every": 6})
    assert [row["epoch"] for row in history] == list(range(1, 13))
    assert history[-1]["step"] == 12 * 7
    assert history[-1]["loss"] < history[0]["loss"]
    assert [row["epoch"] for row in history if "accuracy_smallest" in row] == [4, 6, 12]  # 4: a third
    for arch, least in ((supernet.space.largest, 0.85), (supernet.space.smallest, 0.5)):  # chance: 0.25
        view = calibrate(supernet.subnet(arch), data.train.images)
        assert evaluate(view, data.test.images, data.test.labels) > least


def test_the_global_random_state_and_modes_are_left_alone(make_supernet, data):
    supernet = make_supernet()
    supernet.model.eval()
    supernet.model.norm.train()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    fit(supernet, data, **QUICK)
    assert torch.equal(before, torch.get_rng_state())
    assert not supernet.model.training and supernet.model.norm.training


@pytest.mark.parametrize("change", [{}, {"validate_every": 0}, {"validate_every": 1}], ids=str)
def test_same_seed_same_bits_whatever_is_watched(make_supernet, data, change):
    first, second = make_supernet(), make_supernet()
    torch.manual_seed(1)
    fit(first, data, **QUICK)
    torch.manual_seed(2)
    fit(second, data, **QUICK | change, callbacks=[progress_rows(lambda row: torch.rand(3))])
    assert same(first.model, second.model)


def test_another_seed_other_bits(make_supernet, data):
    first, second = make_supernet(), make_supernet()
    fit(first, data, **QUICK)
    fit(second, data, **QUICK, seed=1)
    assert not same(first.model, second.model)


RECIPES = {
    "sgd": {},
    "adamw": {"optimizer": ADAMW},
    "bfloat16": {"precision": "bfloat16"},
    "float16": {"precision": "float16"},
    "single": {"strategy": single},
    "progressive": {"strategy": progressive, "schedule": partial(restarts, phases=OFA_PHASES)},
    "all": {
        "strategy": progressive,
        "schedule": partial(restarts, phases=OFA_PHASES),
        "optimizer": ADAMW,
        "accumulation": 2,
        "ema": 0.5,
    },
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(("every", "stops"), [(1, (1, 3)), (2, (2, 5, 8))], ids=str)
def test_resume_gives_the_same_bits(make_supernet, data, tmp_path, recipe, every, stops):
    settings = QUICK | RECIPES[recipe]
    path = tmp_path / "training.safetensors"
    saving = {"checkpoint": path, "checkpoint_steps": every}
    whole = make_supernet()
    history = fit(whole, data, **settings)
    for step in stops:
        stopping = settings | {"strategy": stop_at(step, settings["strategy"])}
        with pytest.raises(Stop):  # once there is a file, the weights come from it and from nowhere else
            fit(make_supernet(9 if path.exists() else 0), data, **stopping, **saving)
    resumed = make_supernet(9)
    assert without_time(fit(resumed, data, **settings, **saving)) == without_time(history)
    assert same(whole.model, resumed.model)


def test_a_finished_training_is_loaded_and_not_repeated(make_supernet, data, tmp_path):
    path = tmp_path / "training.safetensors"
    first, second = make_supernet(), make_supernet(9)
    history = fit(first, data, **QUICK, checkpoint=path)
    written = path.stat().st_mtime_ns
    assert fit(second, data, **QUICK | {"strategy": sandwich}, checkpoint=path) == history
    assert same(first.model, second.model)
    assert path.stat().st_mtime_ns == written


CHANGES = {
    "batch_size": {"batch_size": 16},
    "seed": {"seed": 3},
    "strategy": {"strategy": partial(sandwich, random_subnets=1)},
    "optimizer": {"optimizer": ADAMW},
    "schedule": {"schedule": constant},
    "augment": {"augment": None},
    "epochs": {"epochs": 4},
    "accumulation": {"accumulation": 2},
    "ema": {"ema": 0.9},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_checkpoint_of_another_training_is_refused_by_name_and_kept(make_supernet, data, tmp_path, name):
    path = tmp_path / "training.safetensors"
    fit(make_supernet(), data, **QUICK, checkpoint=path)
    content = path.read_bytes()
    supernet, untouched = make_supernet(9), make_supernet(9)
    with pytest.raises(InvalidInput, match=f"{path} is of another training: .*{name}"):
        fit(supernet, data, **QUICK | CHANGES[name], checkpoint=path)
    assert path.read_bytes() == content
    assert same(supernet.model, untouched.model)


@pytest.mark.parametrize("kept", [0, 7, 100, 0.5, 0.999])
def test_a_truncated_checkpoint_is_refused_and_kept(make_supernet, data, tmp_path, kept):
    path = tmp_path / "training.safetensors"
    fit(make_supernet(), data, **QUICK, checkpoint=path)
    content = path.read_bytes()
    content = content[: int(kept * len(content)) if isinstance(kept, float) else kept]
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=f"{path} is truncated"):
        fit(make_supernet(), data, **QUICK, checkpoint=path)
    assert path.read_bytes() == content


def test_a_loss_that_is_not_finite_names_the_step_and_keeps_the_last_checkpoint(make_supernet, data, tmp_path):
    path = tmp_path / "training.safetensors"

    def poisoned(supernet, images, labels, context):
        if context.step == 4:
            with torch.no_grad():
                supernet.model.head.bias.fill_(math.nan)
        return sandwich(supernet, images, labels, context)

    with pytest.raises(InvalidInput, match="the loss is nan at step 4 of 9: the model returns NaN"):
        fit(make_supernet(), data, **QUICK | {"strategy": poisoned}, checkpoint=path, checkpoint_steps=1)
    poisoned_again = path.read_bytes()
    with pytest.raises(InvalidInput, match="step 4"):
        fit(make_supernet(), data, **QUICK | {"strategy": poisoned}, checkpoint=path, checkpoint_steps=1)
    assert path.read_bytes() == poisoned_again


def test_a_model_that_returns_nan_from_the_start_is_named(make_supernet, data):
    supernet = make_supernet()
    with torch.no_grad():
        supernet.model.conv.weight.fill_(math.nan)
    with pytest.raises(InvalidInput, match=r"step 0 of 9: the model returns NaN.*check the model"):
        fit(supernet, data, **QUICK)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"seed": -1}, "seed=-1"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
        ({"gradient_clip": 0.0}, "gradient_clip=0.0"),
        ({"precision": "float8"}, "precision 'float8' is unknown; did you mean float32"),
        ({"accumulation": 0}, "accumulation=0"),
        ({"accumulation": 33}, "accumulation=33 splits a batch of batch_size=32"),
        ({"ema": 1.0}, "ema=1.0"),
        ({"stop_step": -1}, "stop_step=-1"),
        ({"checkpoint_steps": 0}, "checkpoint_steps=0"),
        ({"checkpoint_seconds": -1.0}, "checkpoint_seconds=-1.0"),
        ({"strategy": partial(sandwich, random_subnets=-1)}, "random_subnets=-1"),
    ],
)
def test_settings_out_of_range_are_refused(make_supernet, data, change, words):
    with pytest.raises(InvalidInput, match=words):
        fit(make_supernet(), data, **QUICK | change)


def test_checkpoints_by_time(make_supernet, data, tmp_path, monkeypatch):
    saves = []
    monkeypatch.setattr("ofa.train.checkpoints.save_training", lambda path, *rest: saves.append(path))
    path = Path(tmp_path / "training.safetensors")
    fit(make_supernet(), data, **QUICK, checkpoint=path, checkpoint_seconds=0.0)
    assert len(saves) == STEPS
    saves.clear()
    fit(make_supernet(), data, **QUICK, checkpoint=path, checkpoint_seconds=None, checkpoint_steps=4)
    assert len(saves) == 3  # after 4 and 8 steps, and at the end
