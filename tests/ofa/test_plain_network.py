"""A weight that is computed from other parameters is refused with the remedy, where it has to be a parameter."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize, prune

import ofa
from ofa.compress import factorize
from ofa.errors import InvalidInput
from ofa.prune import OneShot, Pruner
from ofa.prune.criteria import sensitivity_scan
from ofa.prune.granularity import channel
from ofa.prune.initializers import kaiming_, lsuv_
from ofa.prune.lottery import lottery
from tests.ofa.nets import SHAPE, small_resnet

LAYER = "stages.0.0.conv1"


class Symmetric(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return (weight + weight.flip(-1)) / 2


class OwnCode(nn.Conv2d):
    """Keeps its weight as two factors."""

    def __init__(self, of: nn.Conv2d) -> None:
        super().__init__(of.in_channels, of.out_channels, 3, padding=1, stride=of.stride, bias=False)  # type: ignore[arg-type]
        self.direction = nn.Parameter(self.weight.detach().clone())
        del self.weight
        self.weight = self.direction.detach()  # type: ignore[assignment]

    def forward(self, images: Tensor) -> Tensor:
        self.weight = self.direction * 2  # type: ignore[assignment]
        return super().forward(images)


def own_code(layer: nn.Module, name: str) -> nn.Module:
    assert isinstance(layer, nn.Conv2d)
    return OwnCode(layer)


PLAIN = "torch.nn.utils.parametrize.remove_parametrizations"
# By name: what makes a weight computed, what of the refusal tells the way out, what the way out is.
COMPUTED: dict[str, tuple[Callable[..., Any], str, Callable[..., Any] | None]] = {
    "weight_norm": (parametrizations.weight_norm, PLAIN, parametrize.remove_parametrizations),
    "spectral_norm": (parametrizations.spectral_norm, PLAIN, parametrize.remove_parametrizations),
    "orthogonal": (parametrizations.orthogonal, PLAIN, parametrize.remove_parametrizations),
    "own parametrization": (
        lambda layer, name: parametrize.register_parametrization(layer, name, Symmetric()),
        "Symmetric",
        parametrize.remove_parametrizations,
    ),
    "old weight_norm": (nn.utils.weight_norm, "nn.utils.remove_weight_norm", nn.utils.remove_weight_norm),
    "old spectral_norm": (nn.utils.spectral_norm, "nn.utils.remove_spectral_norm", nn.utils.remove_spectral_norm),
    "prune": (partial(prune.l1_unstructured, amount=0.5), "nn.utils.prune.remove", prune.remove),
    "prune structured": (partial(prune.ln_structured, amount=0.5, n=2, dim=0), "utils.prune.remove", prune.remove),
    "own code": (own_code, "whose layers hold their weights as parameters", None),
}
USERS: dict[str, Callable[[nn.Module], Any]] = {
    "Pruner": lambda net: Pruner(net, schedule=OneShot(0.9)),
    "channels": lambda net: Pruner(net, granularity=channel, example_input=torch.randn(2, *SHAPE)),
    "factorize": lambda net: factorize(net, energy=0.9),
    "kaiming_": lambda net: kaiming_(net, torch.randn(2, *SHAPE), torch.Generator()),
    "lsuv_": lambda net: lsuv_(net, torch.randn(2, *SHAPE), torch.Generator()),
    "scan": lambda net: sensitivity_scan(net, lambda _: 0.0, [0.5]),
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("kind", COMPUTED)
def test_computed_weights_are_refused_with_the_way_out(kind: str, user: str) -> None:
    wrap, words, unwrap = COMPUTED[kind]
    net = small_resnet()
    parent, name = net.get_submodule("stages.0.0"), "conv1"
    wrapped = wrap(getattr(parent, name), "weight")
    if kind == "own code":
        setattr(parent, name, wrapped)
    before = {path: tensor.clone() for path, tensor in net.state_dict().items()}
    with pytest.raises(InvalidInput, match=f"(?s)'weight' of the layer '{LAYER}' is computed.*{words}") as raised:
        USERS[user](net)
    assert "\n" not in str(raised.value)
    assert all(torch.equal(before[path], tensor) for path, tensor in net.state_dict().items())
    if unwrap is not None:
        unwrap(net.get_submodule(LAYER), "weight")
        USERS[user](net)


class Widened(nn.Module):
    """Makes a kernel of a smaller one."""

    def forward(self, weight: Tensor) -> Tensor:
        return functional.pad(weight, (1, 1, 1, 1))


def test_a_supernet_refuses_weights_of_which_no_parameter_has_the_shape() -> None:
    net = small_resnet()
    net.get_submodule("stages.0.0").conv1 = own_code(net.get_submodule(LAYER), "weight")
    with pytest.raises(InvalidInput, match=f"'weight' of the layer '{LAYER}' is computed.*hold their weights"):
        ofa.Supernet(net, torch.randn(2, *SHAPE))
    net = small_resnet()
    layer = net.get_submodule(LAYER)
    parametrize.register_parametrization(layer, "weight", Widened(), unsafe=True)
    with torch.no_grad():
        layer.parametrizations.weight.original = nn.Parameter(torch.randn(8, 8, 1, 1))  # type: ignore[union-attr]
    with pytest.raises(InvalidInput, match=f"'weight' of the layer '{LAYER}' is computed.*Widened.*{PLAIN}"):
        ofa.Supernet(net, torch.randn(2, *SHAPE))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_remedy_that_is_named_can_be_run_as_it_stands() -> None:
    model = small_resnet()
    parametrizations.weight_norm(model.get_submodule(LAYER))
    nn.utils.weight_norm(model.get_submodule("stem.conv"))
    prune.l1_unstructured(model.classifier, "weight", amount=0.5)
    for _ in range(3):
        with pytest.raises(InvalidInput) as raised:
            Pruner(model)
        eval(str(raised.value).rpartition(": ")[2], {"torch": torch, "model": model})
    assert Pruner(model, schedule=OneShot(0.9)).density == pytest.approx(0.1, abs=1e-3)
    assert not any("original" in name or "_g" in name for name, _ in model.named_parameters())


def test_a_layer_that_is_kept_may_compute_its_weight() -> None:
    net = small_resnet()
    parametrizations.weight_norm(net.classifier)
    pruner = Pruner(net, schedule=OneShot(0.9), keep=["classifier"])
    assert pruner.density == pytest.approx(0.1, abs=1e-3)
    assert not any("classifier" in name for name in pruner.masks)


def test_tickets_of_such_a_model_are_refused(tmp_path: Any) -> None:
    def make() -> nn.Module:
        net = small_resnet()
        parametrizations.weight_norm(net.get_submodule(LAYER))
        return net

    with pytest.raises(InvalidInput, match="is computed from other parameters"):
        lottery(make, lambda *_, **__: {}, folder=tmp_path, rounds=1)
