"""A supernet's training learns, can be stopped anywhere, and refuses what it cannot use."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from ofa._calibrate import calibrate
from ofa._evaluate import evaluate
from ofa.errors import InvalidInput
from ofa.train import (
    progress_rows,
    sandwich,
)
from tests.ofa.train.supernet_trainings import QUICK, fit, same


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
    assert [row["epoch"] for row in history if "scores" in row] == [4, 6, 12]  # 4: a third
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


def test_a_loss_that_is_not_finite_names_the_step_and_keeps_the_last_checkpoint(make_supernet, data, tmp_path):
    path = tmp_path / "training.safetensors"

    def poisoned(supernet, batch, context):
        if context.step == 4:
            with torch.no_grad():
                supernet.model.head.bias.fill_(math.nan)
        return sandwich(supernet, batch, context)

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
        ({"epochs": -1}, "epochs=-1"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"seed": -1}, "seed=-1"),
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
