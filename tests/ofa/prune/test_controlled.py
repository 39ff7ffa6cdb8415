"""A lasso whose strength is found: its zeros follow the schedule, exactly in the end, and a training can be resumed."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ofa.errors import InvalidInput
from ofa.prune import Linear, Pruner, resolved
from ofa.prune.regularizers import ControlledLasso
from ofa.randomize import randomize_
from tests.ofa.prune.pruned_training import OPTIMIZERS, SHAPE, net, train

STEPS = 40
EXAMPLE = torch.zeros(2, *SHAPE)


def lasso(final: float, alpha: float = 0.0) -> ControlledLasso:
    return resolved(ControlledLasso(Linear(final, 0.0, 0.7, 1), alpha=alpha), STEPS)


def normed() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.Flatten(), nn.Linear(432, 16), nn.ReLU()
    return randomize_(nn.Sequential(*layers, nn.Linear(16, 4)))


@settings(max_examples=5, deadline=None)
@given(st.floats(0.1, 0.7), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from(sorted(OPTIMIZERS)))
def test_zeros_follow_the_schedule(final: float, alpha: float, optimizer: str) -> None:
    model = net()
    made = OPTIMIZERS[optimizer](model.parameters())
    schedule = resolved(Linear(final, 0.0, 0.7, 1), STEPS)
    pruner = Pruner(model, made, regularizers=[lasso(final, alpha)], example_input=EXAMPLE)
    total = sum(weight.numel() for weight in pruner.weights.values())
    row = max(weight[0].numel() for weight in pruner.weights.values()) / total
    before = 1.0
    for step in range(STEPS):
        train(model, made, pruner, 1, seed=step)
        target = schedule(step + 1) or final
        assert pruner.sparsity <= target + row and pruner.density <= before
        before = pruner.density
        for name, mask in pruner.masks.items():
            assert not dict(model.named_parameters())[name][~mask].any()
    most = sum(
        weight.numel() - weight[0].numel() for name, weight in pruner.weights.items() if "classifier" not in name
    )
    assert pruner.sparsity == pytest.approx(min(final, most / total), abs=row)


def test_a_group_goes_with_its_norm_and_the_slim_network_is_the_same() -> None:
    model = normed()
    made = OPTIMIZERS["adamw"](model.parameters())
    pruner = Pruner(model, made, regularizers=[lasso(0.5)], example_input=EXAMPLE)
    train(model, made, pruner, STEPS)
    gone = ~pruner.masks["0.weight"].flatten(1).any(dim=1)
    assert pruner.sparsity == pytest.approx(0.5, abs=0.06) and gone.any() and not gone.all()
    assert not model[1].weight[gone].any() and not model[1].bias[gone].any()
    slim, _ = pruner.slim()
    assert slim[0].weight.shape[0] == int((~gone).sum())
    model.eval(), slim.eval()
    images = torch.randn(8, *SHAPE)
    torch.testing.assert_close(slim(images), model(images), rtol=1e-4, atol=1e-5)


def test_it_resumes_to_the_same_bits() -> None:
    model = net()
    made = OPTIMIZERS["adamw"](model.parameters())
    pruner = Pruner(model, made, regularizers=[lasso(0.6, 0.5)], example_input=EXAMPLE)
    train(model, made, pruner, 15)
    other = copy.deepcopy(model)
    again = OPTIMIZERS["adamw"](other.parameters())
    again.load_state_dict(copy.deepcopy(made.state_dict()))
    state = pruner.state_dict()
    train(model, made, pruner, 15, seed=1)
    resumed = Pruner(other, again, regularizers=[lasso(0.6, 0.5)], example_input=EXAMPLE, state=state)
    train(other, again, resumed, 15, seed=1)
    assert pruner.density == resumed.density < 1
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidInput, match="example_input"):
        Pruner(net(), regularizers=[lasso(0.5)])
    with pytest.raises(InvalidInput, match="alpha=2"):
        ControlledLasso(Linear(0.5, 0, 10, 1), alpha=2)
    with pytest.raises(InvalidInput, match=r"least=1\.0"):
        ControlledLasso(Linear(0.5, 0, 10, 1), least=1.0)
    with pytest.raises(InvalidInput, match="keep='head' matches no layer"):
        Pruner(net(), regularizers=[ControlledLasso(Linear(0.5, 0, 10, 1), keep=["head"])], example_input=EXAMPLE)
    with pytest.raises(InvalidInput, match="no layer of neurons before its last"):
        Pruner(
            nn.Sequential(nn.Flatten(), nn.Linear(64, 4)),
            regularizers=[lasso(0.5)],
            example_input=torch.zeros(2, *SHAPE),
        )
