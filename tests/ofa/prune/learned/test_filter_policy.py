import itertools
import math

import pytest
import torch

import ofa
from ofa.prune.learned.filter_policy import FilterPolicy, advantages, draw, reinforce_loss, unit_features
from tests.ofa.nets import from_zoo


def test_the_gradient_is_that_of_the_expected_reward() -> None:
    """Over all 8 actions of 3 filters, weighted by their probabilities, the estimate is exact."""
    logits = torch.tensor([0.3, -1.0, 0.8], dtype=torch.float64, requires_grad=True)
    actions = torch.tensor(list(itertools.product([False, True], repeat=3)))
    worth = torch.tensor([1.0, -2.0, 0.5, 4.0, 0.0, 3.0, -1.0, 2.0], dtype=torch.float64)
    keep = torch.sigmoid(logits)
    chances = torch.where(actions, keep, 1 - keep).prod(dim=1)
    (expected,) = torch.autograd.grad((chances * worth).sum(), logits)
    weighted = chances.detach() * len(actions)
    (estimate,) = torch.autograd.grad(-reinforce_loss(logits, actions, weighted * worth), logits)
    torch.testing.assert_close(estimate, expected)
    # A baseline that does not depend on the action changes nothing on average.
    (shifted,) = torch.autograd.grad(-reinforce_loss(logits, actions, weighted * (worth - 7)), logits)
    torch.testing.assert_close(shifted, expected)


def test_advantages_by_hand() -> None:
    rewards = torch.tensor([1.0, 2.0, 6.0])
    assert advantages(rewards, 2.5).tolist() == [-1.5, -0.5, 3.5]
    assert advantages(rewards, None).tolist() == [-3.0, -1.5, 4.5]
    assert advantages(rewards[:1], None).tolist() == [1.0]


def test_draws_have_the_policys_probabilities(generator: torch.Generator) -> None:
    features = torch.randn(5, 7, generator=generator)
    policy = FilterPolicy(features, 0.9, generator)
    logits = policy()
    torch.testing.assert_close(logits, torch.full((5,), math.log(9.0)))
    drawn = draw(torch.tensor([-2.0, 0.0, 3.0]), 4000, generator).double().mean(dim=0)
    torch.testing.assert_close(drawn, torch.sigmoid(torch.tensor([-2.0, 0.0, 3.0])).double(), rtol=0, atol=0.03)
    with pytest.raises(ofa.InvalidInput, match="below 1"):
        FilterPolicy(features, 1.0, generator)


def test_features_are_the_filters_own_weights() -> None:
    supernet, _ = from_zoo("residual")
    group = next(group for group in supernet.groups if group.name.endswith("conv1"))
    table = unit_features(supernet, group, supernet.model)
    assert table.shape == (8, 8 * 9 + 2) and table.dtype == torch.float32  # a 3x3 filter, its norm's two numbers
    torch.testing.assert_close(table.mean(dim=0), torch.zeros(74), rtol=0, atol=1e-5)
    torch.testing.assert_close(table.std(dim=0, correction=0), torch.ones(74), rtol=0, atol=1e-4)
    weight = supernet.model.get_parameter(f"{group.name}.weight").detach().float().flatten(1)
    expected = (weight - weight.mean(dim=0)) / weight.std(dim=0, correction=0)
    assert any(torch.allclose(table[:, start : start + 72], expected, atol=1e-4) for start in (0, 1, 2))
