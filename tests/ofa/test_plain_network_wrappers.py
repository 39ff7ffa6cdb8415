"""Wrappers around a network are taken off and said; what is made of a network and is none is refused."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import ofa
from ofa.compress import factorize
from ofa.errors import InvalidInput
from ofa.models import LeNet5, ResNet
from ofa.plain_network import WrapperRemoved
from ofa.prune import OneShot, Pruner
from tests.ofa.nets import SHAPE, small_resnet

LAYER = "stages.0.0.conv1"

WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "compile": lambda net: torch.compile(net, backend="eager"),  # type: ignore[return-value]
    "DataParallel": nn.DataParallel,
    "averaged": torch.optim.swa_utils.AveragedModel,
    "both": lambda net: nn.DataParallel(torch.compile(net, backend="eager")),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrappers_are_taken_off_and_said(wrapper: str) -> None:
    torch.manual_seed(0)
    net = LeNet5(SHAPE, 4, channels=(4, 6), hidden=(12, 8))
    plain = copy.deepcopy(net)
    wrapped = WRAPPERS[wrapper](net)
    masks = []
    for model, trained in ((wrapped, wrapped), (plain, plain)):
        optimizer = torch.optim.SGD(trained.parameters(), lr=0.1, momentum=0.9)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            pruner = Pruner(model, optimizer, schedule=OneShot(0.8, at=1), example_input=torch.ones(2, *SHAPE))
        messages = [str(warning.message) for warning in said if warning.category is WrapperRemoved]
        assert bool(messages) is (model is wrapped) and all(
            "Pruner works on the network inside" in warning for warning in messages
        )
        torch.manual_seed(1)
        for _ in range(3):
            optimizer.zero_grad()
            functional.cross_entropy(trained(torch.randn(4, *SHAPE)), torch.arange(4)).backward()
            optimizer.step()
            pruner.step()
        slim, new = pruner.slim()
        assert type(slim) is LeNet5 and new is not None and type(pruner.finalize()) is LeNet5
        masks.append(pruner.masks)
    assert list(masks[0]) == list(masks[1])
    assert all(torch.equal(masks[0][name], mask) for name, mask in masks[1].items())


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_supernet_of_a_wrapped_model_is_that_of_the_model(wrapper: str) -> None:
    net = small_resnet().eval()
    images = torch.randn(2, *SHAPE)
    with pytest.warns(WrapperRemoved, match="Supernet works on the network inside"):
        supernet = ofa.Supernet(WRAPPERS[wrapper](net), images)
    assert supernet.model is net or wrapper == "averaged"  # which wraps a copy
    assert supernet.space.choices == ofa.Supernet(net, images).space.choices
    assert type(supernet.extract(supernet.space.smallest)) is ResNet
    with pytest.warns(WrapperRemoved):
        assert type(factorize(WRAPPERS[wrapper](net), energy=0.9)) is ResNet


def test_a_layer_that_is_compiled_by_itself_is_refused() -> None:
    net = small_resnet()
    net.get_submodule("stages.0.0").conv1 = torch.compile(net.get_submodule(LAYER), backend="eager")  # type: ignore[assignment]
    for make in (lambda: Pruner(net), lambda: ofa.Supernet(net, torch.randn(2, *SHAPE))):
        with pytest.raises(InvalidInput, match=f"'{LAYER}' is a OptimizedModule"):
            make()
    other = small_resnet()
    other.forward = torch.compile(other.forward, backend="eager")  # type: ignore[method-assign]
    with pytest.raises(InvalidInput, match=r"was replaced by torch.compile"):
        ofa.Supernet(other, torch.randn(2, *SHAPE))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (torch.jit.script, "the model is scripted by torch.jit.*give the network that it was made of"),
        (lambda net: torch.jit.trace(net, torch.randn(2, 3)), "the model is traced by torch.jit"),
        (lambda net: nn.Sequential(torch.jit.script(net)), "the layer '0' is scripted by torch.jit"),
        (
            partial(torch.ao.quantization.quantize_dynamic, dtype=torch.qint8),
            "the layer '0' is a quantized Linear.*in floating point",
        ),
        (lambda net: torch.export.export(net, (torch.randn(2, 3),)), "model is a ExportedProgram; give a torch.nn.Mod"),
        (lambda net: net.forward, "model is a method; give a torch.nn.Module"),
    ],
    ids=["scripted", "traced", "scripted layer", "quantized", "exported", "method"],
)
def test_what_is_made_of_a_network_is_refused_with_the_way_out(make: Callable[[nn.Module], Any], words: str) -> None:
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    made = make(net)
    for use in (lambda: Pruner(made), lambda: ofa.Supernet(made, torch.randn(2, 3))):
        with pytest.raises(InvalidInput, match=words):
            use()


def test_a_subnet_of_a_model_that_was_compiled_in_place_runs_itself() -> None:
    net = small_resnet().eval()
    images = torch.randn(2, *SHAPE)
    supernet = ofa.Supernet(net, images)
    with torch.no_grad():
        expected = supernet.extract(supernet.space.smallest)(images)
        net.compile(backend="eager")
        found = ofa.Supernet(net, images)
        small = found.extract(found.space.smallest)
        torch.testing.assert_close(small(images), expected)
        assert not torch.allclose(small(images), net(images))
