"""Regularizers move each parameter at its own group's rate, and what is not trained not at all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import nn

from ofa.errors import InvalidInput
from ofa.models import LeNet5Caffe
from ofa.prune import Pruner
from ofa.prune.regularizers import (
    L1,
    L2,
    AsLoss,
    GroupLasso,
    IntegerAttracting,
    Orthogonal,
    Penalty,
    Proximal,
    ProximalL1,
    ProximalL2,
    Regularizer,
    SparseGroupLasso,
)

PROXIMAL: dict[str, Regularizer] = {
    "l1": ProximalL1(0.2),
    "l2": ProximalL2(0.2),
    "group": GroupLasso(0.05),
    "sparse": SparseGroupLasso(0.05),
}
LOSSES: dict[str, Penalty] = {
    "l1": L1(0.5),
    "l2": L2(0.5),
    "orthogonal": Orthogonal(0.5),
    "integers": IntegerAttracting(0.5),
    "group": AsLoss(GroupLasso(0.1)),
}


def lenet() -> nn.Module:
    torch.manual_seed(0)
    return LeNet5Caffe((1, 16, 16), 4, channels=(4, 6), hidden=12).double()


def rates_of_layers(net: nn.Module) -> torch.optim.Optimizer:
    """conv2 in a group of its own, classifier frozen, linear in no group."""
    for parameter in net.classifier.parameters():  # type: ignore[union-attr]
        parameter.requires_grad_(False)
    groups = [
        {"params": [*net.conv1.parameters(), *net.classifier.parameters()]},  # type: ignore[union-attr]
        {"params": list(net.conv2.parameters()), "lr": torch.tensor(0.001)},  # type: ignore[union-attr]
    ]
    return torch.optim.SGD(groups, lr=0.1)


@pytest.mark.parametrize("name", PROXIMAL)
def test_proximal_steps_are_those_of_each_group_and_leave_the_rest(name: str) -> None:
    net, regularizer = lenet(), PROXIMAL[name]
    assert isinstance(regularizer, Proximal)
    before = {path: parameter.detach().clone() for path, parameter in net.named_parameters()}
    Pruner(net, rates_of_layers(net), regularizers=[regularizer]).step()
    for layer, rate in (("conv1", 0.1), ("conv2", 0.001), ("linear", None), ("classifier", None)):
        alone = {path: nn.Parameter(parameter.clone()) for path, parameter in before.items() if path.startswith(layer)}
        if rate is not None:
            regularizer.proximal_(alone, rate, 1.0)
        for path, expected in alone.items():
            torch.testing.assert_close(net.get_parameter(path), expected)
        assert torch.equal(net.get_parameter(f"{layer}.weight"), before[f"{layer}.weight"]) is (rate is None)


@pytest.mark.parametrize("name", LOSSES)
def test_penalties_are_of_what_is_trained(name: str) -> None:
    net, regularizer = lenet(), LOSSES[name]
    pruner = Pruner(net, rates_of_layers(net), regularizers=[regularizer])
    trained = {path: parameter for path, parameter in net.named_parameters() if path.startswith("conv")}
    penalty = pruner.penalty()
    torch.testing.assert_close(penalty, regularizer.penalty(trained, pruner.progress))
    penalty.backward()
    assert net.get_parameter("conv1.weight").grad is not None
    assert net.get_parameter("linear.weight").grad is None  # or a norm that gradients are clipped by would count it


def test_without_an_optimizer_only_what_is_frozen_stays() -> None:
    net = lenet()
    net.get_parameter("linear.weight").requires_grad_(False)
    before = {path: parameter.detach().clone() for path, parameter in net.named_parameters()}
    Pruner(net, regularizers=[ProximalL1(0.01)]).step()
    moved = {path for path, parameter in net.named_parameters() if not torch.equal(parameter, before[path])}
    assert moved == {"conv1.weight", "conv2.weight", "classifier.weight"}


def test_a_frozen_layer_trains_again_once_it_is_thawed() -> None:
    net = lenet()
    optimizer = rates_of_layers(net)
    pruner = Pruner(net, optimizer, regularizers=[GroupLasso(0.05)])
    pruner.step()
    for parameter in net.classifier.parameters():  # type: ignore[union-attr]
        parameter.requires_grad_(True)
    before = net.get_parameter("classifier.weight").detach().clone()
    pruner.step()
    assert not torch.equal(net.get_parameter("classifier.weight"), before)


@pytest.mark.parametrize("steps", [(0.3, 0.1), (0.1, 0.3), (0.3, 0.2999)])
@pytest.mark.parametrize("strength", [0.01, 0.5, 2.0, 20.0])
def test_a_bias_of_another_rate_than_its_weight_takes_the_exact_step_of_both(
    steps: tuple[float, float], strength: float
) -> None:
    start = np.array([0.9, -0.4, 0.7])
    weights = {
        "a.weight": nn.Parameter(torch.tensor([start[:2].tolist(), [0.0, 0.0]], dtype=torch.float64)),
        "a.bias": nn.Parameter(torch.tensor([start[2], 0.0], dtype=torch.float64)),
    }
    GroupLasso(strength).proximal_(weights, {"a.weight": steps[0], "a.bias": steps[1]}, 1.0)
    stepped = np.array([*weights["a.weight"][0].tolist(), weights["a.bias"][0].item()])
    assert not weights["a.weight"][1].any() and not weights["a.bias"][1].any()
    each = np.array([steps[0], steps[0], steps[1]])

    def objective(v: np.ndarray) -> float:
        return float(np.sum((v - start) ** 2 / (2 * each)) + strength * np.sqrt(3) * np.linalg.norm(v))

    guesses = (start, np.zeros(3), start / 2)
    options = {"xatol": 1e-8, "fatol": 1e-13, "maxiter": 4000}
    searched = (minimize(objective, guess, method="Nelder-Mead", options=options) for guess in guesses)
    best = min(searched, key=lambda result: float(result.fun))
    assert objective(stepped) <= best.fun + 1e-9
    np.testing.assert_allclose(stepped, best.x, atol=1e-3)


@pytest.mark.parametrize("regularizer", [GroupLasso(0.2), SparseGroupLasso(0.2)], ids=str)
def test_a_bias_that_is_not_trained_is_in_no_group(regularizer: GroupLasso | SparseGroupLasso) -> None:
    def layer() -> dict[str, nn.Parameter]:
        generator = torch.Generator().manual_seed(0)
        weight = torch.randn(4, 3, generator=generator)
        return {"a.weight": nn.Parameter(weight), "a.bias": nn.Parameter(torch.ones(4))}

    missing, frozen, alone = layer(), layer(), {"a.weight": layer()["a.weight"]}
    regularizer.proximal_(missing, {"a.weight": 1.0}, 1.0)
    frozen["a.bias"].requires_grad_(False)
    regularizer.proximal_(frozen, 1.0, 1.0)
    regularizer.proximal_(alone, 1.0, 1.0)
    for group in (missing, frozen):
        assert torch.equal(group["a.weight"], alone["a.weight"])
        assert torch.equal(group["a.bias"], torch.ones(4))


def test_an_optimizer_without_rates_is_refused_by_name() -> None:
    net = lenet()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    del optimizer.param_groups[0]["lr"]
    with pytest.raises(InvalidInput, match="SGD has a parameter group without lr"):
        Pruner(net, optimizer, regularizers=[ProximalL1(0.1)])
