"""The settings that the loop is tried with."""

from __future__ import annotations

from functools import partial

import torch

from ofa.train import TrainSettings

SETTINGS = TrainSettings(
    optimizer=partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=1e-4),
    epochs=3,
    batch_size=32,
    validate_every=2,
)
EPOCH_STEPS = 120 // 32
STEPS = 3 * EPOCH_STEPS
