"""Connections that are learned: gates by their formulas, densities to the connection, a policy that is never worse."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from ofa.errors import InvalidInput
from ofa.prune.learned import HardConcrete, StraightThrough, learn_connection_policy, learn_connections
from ofa.prune.learned.gates import best_of
from ofa.task import classification
from tests.ofa.prune.pruned_training import batches, net

TASK = classification(num_classes=4)


def learned(gates, density: float, steps: int = 40, seed: int = 0):
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    found = learn_connections(
        model, batches(steps), gates, density, task=TASK, optimizer=optimizer, steps=steps, gate_rate=0.1, seed=seed
    )
    return model, found


@pytest.mark.parametrize("gates", [StraightThrough(), HardConcrete()])
@pytest.mark.parametrize("density", [0.05, 0.3])
def test_exactly_as_many_stay_and_the_network_has_learned(gates, density: float) -> None:
    model, found = learned(gates, density)
    weights = dict(model.named_parameters())
    total = sum(mask.numel() for mask in found.masks.values())
    assert sum(int(mask.sum()) for mask in found.masks.values()) == round(density * total)
    assert all(not weights[name][~mask].any() for name, mask in found.masks.items())
    losses = [row["loss"] for row in found.history]
    assert losses[-1] < 1.5 and found.history[-1]["step"] == 40
    again, _ = learned(gates, density)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


@given(st.floats(-4, 4))
@settings(max_examples=10, deadline=None)
def test_open_gates_are_as_many_as_expected(number: float) -> None:
    gates, numbers = HardConcrete(), {"w": torch.full((20_000,), number)}
    drawn = gates.factors(numbers, 1.0, torch.Generator().manual_seed(0))["w"]
    assert 0 <= float(drawn.min()) and float(drawn.max()) <= 1
    assert (drawn > 0).float().mean().item() == pytest.approx(float(gates.open_share(numbers)), abs=0.02)


def test_gradients_pass_closed_gates_straight_through() -> None:
    weight = torch.tensor([3.0, -2.0, 1.0, 0.5])
    numbers = {"w": torch.tensor([0.1, 2.0, 1.0, 0.2], requires_grad=True)}
    factors = StraightThrough().factors(numbers, 0.5, torch.Generator())
    assert factors["w"].tolist() == [0, 1, 1, 0]
    upstream = torch.tensor([1.0, 2.0, 3.0, 4.0])
    (weight * factors["w"] * upstream).sum().backward()
    torch.testing.assert_close(numbers["w"].grad, weight * upstream)


def test_a_policy_is_never_worse_than_magnitude_and_learns() -> None:
    model = net()
    images, labels = next(batches(1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for inputs, targets in batches(60):
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()

    def score(tried: torch.nn.Module) -> float:
        return float(torch.exp(-functional.cross_entropy(tried(images), labels)).detach())

    before = [parameter.clone() for parameter in model.parameters()]
    found = learn_connection_policy(model, score, 0.1, updates=8, samples=4)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    weights = {name: parameter for name, parameter in model.named_parameters() if name in found.masks}

    def score_of(masks) -> float:
        tried = net()
        tried.load_state_dict(model.state_dict())
        for name, mask in masks.items():
            tried.get_parameter(name).data.mul_(mask)
        return score(tried)

    by_size = best_of({name: weight.abs() for name, weight in weights.items()}, 0.1)
    assert sum(int(m.sum()) for m in found.masks.values()) == sum(int(m.sum()) for m in by_size.values())
    assert score_of(found.masks) == pytest.approx(found.history[-1]["best"])
    assert found.history[-1]["best"] > score_of(by_size)
    assert found.history[-1]["mean_reward"] > found.history[0]["mean_reward"]


def test_what_cannot_be_learned_is_refused() -> None:
    for density in (0.0, 1.5, float("nan")):
        with pytest.raises(InvalidInput, match="density"):
            learned(StraightThrough(), density)
        with pytest.raises(InvalidInput, match="density"):
            learn_connection_policy(net(), lambda tried: 0.5, density)
    with pytest.raises(InvalidInput, match="only 3 batches for 5 steps"):
        optimizer = torch.optim.SGD(net().parameters(), lr=0.1)
        learn_connections(net(), batches(3), StraightThrough(), 0.5, task=TASK, optimizer=optimizer, steps=5)
    with pytest.raises(InvalidInput, match="HardConcrete"):
        HardConcrete(low=0.1)
