"""Settings out of range are refused when they are made, and only those that decide the weights are recorded."""

from __future__ import annotations

import dataclasses
from functools import partial

import pytest
import torch

from ofa.errors import InvalidInput
from ofa.train import TrainSettings
from ofa.train.settings import HOW_TO_RUN

SETTINGS = TrainSettings(optimizer=partial(torch.optim.SGD, lr=0.1), epochs=3, batch_size=32)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": -1}, "epochs=-1 must be 0 or more"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"seed": -1}, "seed=-1 must be 0 or more"),
        ({"start_step": -1}, "start_step=-1"),
        ({"stop_step": -1}, "stop_step=-1 must be 0 or more, or null for the last"),
        ({"validate_every": -1}, "validate_every=-1"),
        ({"gradient_clip": float("inf")}, "gradient_clip=inf"),
        ({"accumulation": 0}, "accumulation=0"),
        ({"accumulation": 33}, "accumulation=33 splits a batch of batch_size=32"),
        ({"ema": 0.0}, "ema=0.0"),
        ({"precision": "float8"}, "did you mean float32"),
        ({"checkpoint_seconds": float("nan")}, "checkpoint_seconds=nan"),
        ({"checkpoint_steps": 0}, "checkpoint_steps=0 must be at least 1, or null for never"),
    ],
)
def test_out_of_range(change, words):
    with pytest.raises(InvalidInput, match=words):
        dataclasses.replace(SETTINGS, **change)


def test_how_it_is_run_decides_nothing():
    otherwise = {
        "device": "cuda",
        "stop_step": 3,
        "validate_every": 1,
        "calibration_images": 64,
        "checkpoint_seconds": None,
        "checkpoint_steps": 2,
        "checkpoint_gradients": True,
    }
    assert otherwise.keys() == set(HOW_TO_RUN)
    assert dataclasses.replace(SETTINGS, **otherwise).deciding() == SETTINGS.deciding()
    patient = dataclasses.replace(SETTINGS, patience=3)
    assert dataclasses.replace(patient, validate_every=2).deciding() != patient.deciding()
    for change in (
        {"seed": 1},
        {"ema": 0.9},
        {"layer_decay": 0.9},
        {"patience": 3},
        {"accumulation": 2},
        {"start_step": 4},
    ):
        assert dataclasses.replace(SETTINGS, **change).deciding() != SETTINGS.deciding()
