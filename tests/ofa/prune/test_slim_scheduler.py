"""Training goes on in a slim network with every scheduler of torch, carried over or made anew."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler

from ofa.errors import InvalidInput
from ofa.prune import Pruner, carry_scheduler
from ofa.prune.granularity import channel
from ofa.prune.optimizer_settings import builder_like
from tests.ofa.prune.slim_training import data, linear_net, moved, train

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "AdamW": partial(torch.optim.AdamW, lr=1e-2),
    "SGD": partial(torch.optim.SGD, lr=0.05, momentum=0.9),
    "RMSprop": partial(torch.optim.RMSprop, lr=1e-2, momentum=0.9),
    "Adafactor": partial(torch.optim.Adafactor, lr=1e-2),
    "Muon": partial(torch.optim.Muon, lr=1e-2),
}

SCHEDULERS: dict[str, Callable[[torch.optim.Optimizer], Any]] = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 0.97**epoch),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda epoch: 0.97),
    "StepLR": lambda o: lr_scheduler.StepLR(o, 4, gamma=0.9),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [2, 6, 9], gamma=0.9),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, factor=0.5, total_iters=5),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, start_factor=0.5, total_iters=8),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.97),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.5, total_iters=5), lr_scheduler.CosineAnnealingLR(o, 40)], milestones=[5]
    ),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, total_iters=50),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 50),
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(o, 0.5, total_iters=5), lr_scheduler.ExponentialLR(o, 0.97)], optimizer=o
    ),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=1, factor=0.9),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(
        o, 1e-3, 0.05, step_size_up=4, cycle_momentum="betas" in o.defaults or "momentum" in o.defaults
    ),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 6),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(
        o, 0.05, total_steps=60, cycle_momentum="betas" in o.defaults or "momentum" in o.defaults
    ),
}


# With the other optimizers, those that also set a momentum, look at losses, or contain others.
DEMANDING = ("CyclicLR", "OneCycleLR", "ReduceLROnPlateau", "SequentialLR")
PAIRS = [
    (kind, scheduler)
    for kind in OPTIMIZERS
    for scheduler in SCHEDULERS
    if kind in ("AdamW", "SGD") or scheduler in DEMANDING
]


def test_the_table_holds_every_scheduler_of_torch() -> None:
    schedulers = {
        name
        for name, kind in vars(lr_scheduler).items()
        if inspect.isclass(kind) and issubclass(kind, lr_scheduler.LRScheduler) and not name.startswith("_")
    }
    assert set(SCHEDULERS) == schedulers - {"LRScheduler"}


def is_momentum_of(parameter: nn.Parameter, value: Any) -> bool:
    return isinstance(value, Tensor) and value.shape == parameter.shape


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("kind", "scheduler"), PAIRS)
def test_training_goes_on_with_any_scheduler_carried_or_made_anew(kind: str, scheduler: str) -> None:
    net = linear_net()
    optimizer = OPTIMIZERS[kind](net.parameters())
    attached = SCHEDULERS[scheduler](optimizer)
    pruner = Pruner(net, optimizer, granularity=partial(channel, multiple_of=2), example_input=data()[0][:2].double())
    train(net, optimizer, attached, 3, pruner)
    pruner.prune(0.5)
    slim, new = pruner.slim()
    assert new is not None and type(new) is type(optimizer)
    for old_weight, weight in zip(net.parameters(), slim.parameters(), strict=True):
        old_state, state = optimizer.state[old_weight], new.state[weight]
        assert set(state) == set(old_state)
        for key, value in old_state.items():
            if is_momentum_of(old_weight, value):  # what is left of it, and nothing is lost on the way
                assert state[key].shape == weight.shape
                torch.testing.assert_close(state[key].abs().sum(), value.abs().sum())
    again, first = copy.deepcopy(slim), copy.deepcopy(slim)
    carried = carry_scheduler(attached, new)
    full = copy.deepcopy(net)
    rates = []
    for model, optim, schedule, keeper in ((net, optimizer, attached, pruner), (slim, new, carried, None)):
        seen = []
        for _ in range(12):
            train(model, optim, schedule, 1, keeper)
            seen.append(float(optim.param_groups[0]["lr"]))
        rates.append(seen)
    if scheduler != "ReduceLROnPlateau":  # which looks at losses
        assert rates[0] == pytest.approx(rates[1])
    assert moved(slim, first) > 1e-4 and moved(net, full) > 1e-4
    if kind in ("AdamW", "SGD", "RMSprop"):  # elementwise, so the slim one does exactly what the masked one does
        images = data()[0].double()
        torch.testing.assert_close(slim(images), net(images), rtol=1e-8, atol=1e-8)

    anew = builder_like(new)([{"params": list(again.parameters())}])
    train(again, anew, SCHEDULERS[scheduler](anew), 12)
    assert moved(again, first) > 1e-4


def test_a_scheduler_made_anew_on_the_optimizer_that_came_back_works_and_leaves_the_old_one_alone() -> None:
    net = linear_net()
    optimizer = OPTIMIZERS["SGD"](net.parameters())
    attached = SCHEDULERS["OneCycleLR"](optimizer)
    pruner = Pruner(net, optimizer, granularity=partial(channel, multiple_of=2), example_input=data()[0][:2].double())
    train(net, optimizer, attached, 3, pruner)
    pruner.prune(0.5)
    slim, new = pruner.slim()
    assert new is not None
    before, full, rate = copy.deepcopy(slim), copy.deepcopy(net), optimizer.param_groups[0]["lr"]
    train(slim, new, lr_scheduler.CosineAnnealingLR(new, 30), 20)
    assert moved(slim, before) > 1e-4
    assert moved(net, full) == 0 and optimizer.param_groups[0]["lr"] == rate


def test_a_scheduler_of_other_groups_is_not_carried() -> None:
    net = linear_net()
    scheduler = lr_scheduler.StepLR(torch.optim.SGD(net.parameters(), lr=0.1), 2)
    two = torch.optim.SGD([{"params": [p]} for p in net.parameters()], lr=0.1)
    with pytest.raises(InvalidInput, match="1 parameter groups, the new one 3"):
        carry_scheduler(scheduler, two)
    with pytest.raises(InvalidInput, match="no optimizer to be carried from"):
        carry_scheduler(torch.nn.Linear(1, 1), two)  # type: ignore[type-var]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        early = carry_scheduler(scheduler, torch.optim.SGD(net.parameters(), lr=0.1))
        early.optimizer.step()
        early.step()
