"""The optimizer that `slim` hands back belongs to the slim model, whatever its class and what hung on the old one."""

from __future__ import annotations

import copy
import inspect
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import lr_scheduler

from ofa.errors import InvalidInput
from ofa.models import ResNet
from ofa.prune import Pruner, carry_scheduler
from ofa.prune.granularity import channel
from tests.ofa.prune.slim_training import data, linear_net, moved, train


def test_a_rate_that_is_a_tensor_is_the_new_optimizers_own() -> None:
    net = linear_net()
    optimizer = torch.optim.SGD(net.parameters(), lr=torch.tensor(0.1))
    attached = lr_scheduler.ExponentialLR(optimizer, 0.5)
    pruner = Pruner(net, optimizer, granularity=partial(channel, multiple_of=2), example_input=data()[0][:2].double())
    pruner.prune(0.5)
    _, new = pruner.slim()
    assert new is not None
    carried = carry_scheduler(attached, new)
    new.step()
    carried.step()
    assert float(new.param_groups[0]["lr"]) == pytest.approx(0.05)
    assert float(optimizer.param_groups[0]["lr"]) == pytest.approx(0.1)


def test_hooks_of_the_old_optimizer_are_called_by_the_new_one_with_itself() -> None:
    net = linear_net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    called: list[Any] = []
    optimizer.register_step_pre_hook(lambda one, args, kwargs: called.append(one))
    optimizer.register_step_post_hook(lambda one, args, kwargs: called.append(one))
    _, new = Pruner(net, optimizer, example_input=data()[0][:2].double()).slim()
    assert new is not None
    new.step()
    assert called == [new, new]


def torch_optimizers() -> list[str]:
    classes = [
        name
        for name, kind in vars(torch.optim).items()
        if inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
    ]
    return sorted(classes)


@pytest.mark.parametrize("name", torch_optimizers())
def test_every_optimizer_of_torch_is_made_anew_or_refused(name: str) -> None:
    kind = getattr(torch.optim, name)
    net = linear_net()
    optimizer = kind(net.parameters(), lr=0.0123)
    pruner = Pruner(net, optimizer, granularity=partial(channel, multiple_of=2), example_input=data()[0][:2].double())

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(net(data()[0].double()), data()[1])
        loss.backward()
        if name == "SparseAdam":
            for weight in net.parameters():
                weight.grad = weight.grad.to_sparse()  # type: ignore[union-attr]
        return loss

    optimizer.step(closure)
    if name == "SparseAdam":
        optimizer.zero_grad()
    pruner.prune(0.5)
    if name == "LBFGS":
        with pytest.raises(InvalidInput, match=r"LBFGS remembers .*make_optimizer"):
            pruner.slim()
        net, new_optimizer = pruner.slim(make_optimizer=kind)
        assert new_optimizer is not None and new_optimizer.param_groups[0]["lr"] == 0.0123
        optimizer, before = new_optimizer, copy.deepcopy(net)
        new_optimizer.step(closure)
        assert moved(net, before) > 0
        return
    slim, new = pruner.slim()
    assert new is not None and type(new) is kind and new.defaults == optimizer.defaults
    if name != "SparseAdam":
        before = copy.deepcopy(slim)
        train(slim, new, None, 3)
        assert moved(slim, before) > 0


class WithAttribute(torch.optim.SGD):
    """Keeps an argument of its own as an attribute."""

    def __init__(self, params: Any, strength: float = 0.1, **settings: Any) -> None:
        super().__init__(params, **settings)
        self.strength = strength


class Forgetful(torch.optim.SGD):
    """Keeps nothing of an argument."""

    def __init__(self, params: Any, strength: float = 0.1, **settings: Any) -> None:
        super().__init__(params, **settings)
        self.hidden = strength


def test_subclasses_keep_their_own_settings_or_are_refused() -> None:
    net = linear_net()
    kept = WithAttribute(net.parameters(), strength=0.7, lr=0.3, momentum=0.5)
    _, new = Pruner(net, kept, example_input=data()[0][:2].double()).slim()
    assert isinstance(new, WithAttribute) and new.strength == 0.7
    assert (new.defaults["lr"], new.defaults["momentum"]) == (0.3, 0.5)
    pruner = Pruner(net, Forgetful(net.parameters(), 0.7, lr=0.3), example_input=data()[0][:2].double())
    with pytest.raises(InvalidInput, match="Forgetful keeps its argument 'strength' neither"):
        pruner.slim()
    _, given = pruner.slim(lambda groups: Forgetful(groups, 0.7))
    assert isinstance(given, Forgetful) and given.hidden == 0.7 and given.param_groups[0]["lr"] == 0.3


def test_adafactor_goes_on_with_the_rows_and_columns_that_are_left_of_a_real_model() -> None:
    torch.manual_seed(0)
    net = ResNet((3, 8, 8), 4, depth=8, widths=(8, 8, 16))
    optimizer = torch.optim.Adafactor(net.parameters(), lr=1e-2)
    attached = lr_scheduler.StepLR(optimizer, 2)
    images, labels = torch.randn(8, 3, 8, 8), torch.arange(8) % 4
    pruner = Pruner(net, optimizer, granularity=partial(channel, multiple_of=4), example_input=images[:2])

    def step(model: nn.Module, optim: torch.optim.Optimizer) -> None:
        optim.zero_grad()
        functional.cross_entropy(model(images), labels).backward()
        optim.step()

    step(net, optimizer)
    attached.step()
    pruner.prune(0.5)
    slim, new = pruner.slim()
    assert new is not None
    before = copy.deepcopy(slim)
    step(slim, new)
    assert moved(slim, before) > 0
    full_row = optimizer.state[net.get_parameter("stages.0.0.conv1.weight")]["row_var"]
    own_row = new.state[slim.get_parameter("stages.0.0.conv1.weight")]["row_var"]
    assert own_row.dim() == full_row.dim() and own_row.shape[0] < full_row.shape[0]
