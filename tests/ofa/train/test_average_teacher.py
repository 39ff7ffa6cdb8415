"""The average of the weights as a teacher: its outputs, who learns from them, and that nothing else changes."""

from __future__ import annotations

import pytest
import torch

from ofa import InvalidInput
from ofa.train import sandwich
from ofa.train.average import WeightAverage
from ofa.train.average_teacher import average_outputs, taught_by_average
from tests.ofa.train.steps import BATCH, IMAGES, context, gradients, with_gradients


@pytest.fixture
def averaged(make_supernet):
    """A supernet, and an optimizer with an average that is not its weights."""
    supernet = with_gradients(make_supernet())
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.0)
    average = WeightAverage(supernet.model, optimizer, 0.9, None)
    average.update(0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return supernet, optimizer, average


def test_outputs_are_those_of_the_largest_with_the_average_in_its_place(averaged):
    supernet, optimizer, average = averaged
    supernet.model.dropout.p = 0.5  # a teacher drops nothing
    weights = {name: value.clone() for name, value in supernet.model.state_dict().items()}
    got = average_outputs(supernet, BATCH, context(5, optimizer=optimizer))
    assert all(torch.equal(value, weights[name]) for name, value in supernet.model.state_dict().items())
    assert not got.requires_grad
    supernet.model.dropout.p = 0.0
    now = supernet.subnet(supernet.space.largest)(IMAGES)
    with average.in_place():
        expected = supernet.subnet(supernet.space.largest)(IMAGES)
    assert torch.allclose(got, expected, atol=1e-5) and not torch.allclose(got, now, atol=1e-3)


def test_subnets_learn_from_the_average_and_the_largest_from_targets(averaged):
    supernet, optimizer, _ = averaged
    at = context(5, optimizer=optimizer)
    learned = []

    def distill(logits, teacher):
        learned.append(teacher)
        return (logits - teacher).square().mean()

    def strategy(supernet, batch, context):
        return sandwich(supernet, batch, context, random_subnets=1, distill=distill)

    taught_by_average(supernet, BATCH, at, strategy=strategy)
    outputs = average_outputs(supernet, BATCH, at)
    assert len(learned) == 2 and all(torch.equal(teacher, outputs) for teacher in learned)


def test_a_given_teacher_comes_first_and_the_first_step_has_its_own(averaged, make_supernet):
    supernet, optimizer, _ = averaged
    taught = BATCH._replace(teacher=torch.zeros(16, 4))
    taught_by_average(supernet, taught, context(5, optimizer=optimizer), strategy=sandwich)
    got = gradients(supernet)
    with_gradients(supernet)
    sandwich(supernet, taught, context(5, optimizer=optimizer))
    assert torch.equal(got, gradients(supernet))
    fresh = with_gradients(make_supernet())
    nothing = torch.optim.SGD(fresh.parameters(), lr=0.1)
    assert torch.isfinite(taught_by_average(fresh, BATCH, context(0, optimizer=nothing), strategy=sandwich))
    with pytest.raises(InvalidInput, match=r"no average of the weights .*train\.ema"):
        taught_by_average(fresh, BATCH, context(1, optimizer=nothing), strategy=sandwich)
