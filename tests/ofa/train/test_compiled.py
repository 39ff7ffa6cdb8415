"""torch.compile in trainings: the same within rounding, resumed with the same bits, and never the end of a training."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from ofa.identity import digest_of
from ofa.space import Space
from ofa.train import sandwich, train, train_network
from ofa.train.compiled import FEW, Compiled, CompiledViews, often_trained
from tests.ofa.train.conftest import SmallNet
from tests.ofa.train.loop_settings import SETTINGS

SHORT = replace(SETTINGS, epochs=2, validate_every=0, optimizer=partial(torch.optim.SGD, lr=0.01))


@pytest.fixture
def compiler(monkeypatch) -> list[nn.Module]:
    """What is compiled, by a compiler that changes nothing."""
    asked: list[nn.Module] = []

    def compile(network, *, dynamic):
        assert dynamic is False
        asked.append(network)
        return lambda *arguments, **named: network(*arguments, **named)

    monkeypatch.setattr(torch, "compile", compile)
    return asked


def small_net(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SmallNet()


def test_a_network_is_compiled_once_and_is_what_is_trained(data, compiler):
    one, other = small_net(), small_net()
    train_network(one, data, SHORT)
    train_network(other, data, replace(SHORT, compile=True))
    assert compiler == [other]
    assert digest_of(one) == digest_of(other)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_largest_and_the_smallest_subnet_are_compiled_once_and_gradients_reach_the_supernet(
    make_supernet, data, compiler, accumulation
):
    one, other = make_supernet(), make_supernet()
    settings = replace(SHORT, accumulation=accumulation, ema=0.9)
    train(one, data, sandwich, settings)
    train(other, data, sandwich, replace(settings, compile=True))
    assert len(compiler) == 2
    assert digest_of(one.model) == digest_of(other.model)


def test_other_archs_are_views_of_each_step(make_supernet, compiler):
    supernet = make_supernet()
    for parameter in supernet.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    largest, smallest = supernet.space.largest, supernet.space.smallest
    views = CompiledViews([largest])
    assert views(supernet, largest) is views(supernet, largest)
    assert views(supernet, smallest) is not views(supernet, smallest)
    assert len(compiler) == 1


def test_all_of_few_subnets_are_compiled(make_supernet):
    space = make_supernet().space
    assert space.size > FEW and often_trained(space) == {space.largest, space.smallest}
    few = Space(tuple(choice for choice in space.choices if choice.key.startswith("kernel"))[:1])
    assert often_trained(few) == set(few.every()) and 1 < few.size <= FEW


def test_what_cannot_be_compiled_runs_as_it_is_with_one_warning(data, monkeypatch):
    from torch._dynamo.exc import Unsupported

    calls = []

    def compile(network, *, dynamic):
        def fail(*arguments, **named):
            calls.append(1)
            raise Unsupported("a call that the compiler does not know")

        return fail

    monkeypatch.setattr(torch, "compile", compile)
    one, other = small_net(), small_net()
    train_network(one, data, SHORT)
    with pytest.warns(UserWarning, match="SmallNet is trained without torch.compile.*does not know"):
        train_network(other, data, replace(SHORT, compile=True))
    assert len(calls) == 1
    assert digest_of(one) == digest_of(other)


def test_an_error_of_the_network_itself_is_no_error_of_the_compiler(compiler):
    net = Compiled(nn.Linear(4, 2))
    with pytest.raises(RuntimeError, match="shapes"):
        net(torch.randn(2, 3))
    assert net.is_compiled and net.in_features == 4


@pytest.mark.slow
def test_by_the_compiler_itself(make_supernet, data, tmp_path):
    """Within rounding of a training without it; resumed with the same bits."""
    settings = replace(SHORT, compile=True)
    plain, whole, resumed = make_supernet(), make_supernet(), make_supernet()
    expected = train(plain, data, sandwich, SHORT)
    history = train(whole, data, sandwich, settings)
    for row, other in zip(history, expected, strict=True):
        assert row["loss"] == pytest.approx(other["loss"], rel=0.05)  # dropout draws otherwise
    path = tmp_path / "training.safetensors"
    train(resumed, data, sandwich, replace(settings, stop_step=2), checkpoint=path)
    torch._dynamo.reset()
    again = make_supernet(9)
    train(again, data, sandwich, settings, checkpoint=path)
    assert digest_of(again.model) == digest_of(whole.model)
