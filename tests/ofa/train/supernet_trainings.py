"""A short training of a supernet, stopped where a test wants it, and what is compared."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from ofa.data.augment import random_shift
from ofa.train import (
    TrainSettings,
    sandwich,
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


def fit(supernet, data, *, task=None, checkpoint=None, callbacks=(), **changes):
    """Trains with the settings of QUICK, but for `changes`."""
    settings = QUICK | changes
    strategy = settings.pop("strategy")
    return train(
        supernet, data, strategy, TrainSettings(**settings), task=task, checkpoint=checkpoint, callbacks=callbacks
    )


class Stop(Exception):
    """The process ends here."""


def stop_at(step: int, strategy=sandwich):
    """A strategy that is killed in the middle of a step."""
    if isinstance(strategy, partial):
        return partial(stop_at(step, strategy.func), *strategy.args, **strategy.keywords)

    def stopping(supernet, batch, context, **settings):
        loss = strategy(supernet, batch, context, **settings)
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
