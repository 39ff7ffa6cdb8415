"""A warm start: the largest alone, then, from sorted channels, the strategy."""

from __future__ import annotations

import pytest
import torch

from ofa import InvalidInput
from ofa.train import sandwich, single
from ofa.train.warm_start import warm_start
from tests.ofa.train.steps import BATCH, IMAGES, context, gradients, with_gradients


def step(supernet, number, **settings):
    """The gradients that one step leaves, and whether its weights moved."""
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.0, momentum=0.9)
    before = supernet.model.conv.weight.detach().clone()
    warm_start(supernet, BATCH, context(number, optimizer=optimizer), **{"strategy": sandwich} | settings)
    return gradients(supernet), not torch.equal(before, supernet.model.conv.weight)


@pytest.mark.parametrize(("number", "strategy"), [(0, single), (19, single), (21, sandwich), (99, sandwich)])
def test_the_largest_is_alone_for_a_fraction(make_supernet, number, strategy):
    plain = with_gradients(make_supernet())
    strategy(plain, BATCH, context(number))
    got, moved = step(with_gradients(make_supernet()), number)
    assert torch.equal(got, gradients(plain)) and not moved


def test_channels_are_sorted_once_before_the_strategy(make_supernet):
    supernet = with_gradients(make_supernet())
    largest = supernet.space.largest
    before = supernet.subnet(largest)(IMAGES)
    assert step(supernet, 20)[1] and not step(supernet, 21)[1]
    assert torch.allclose(supernet.subnet(largest)(IMAGES), before, atol=1e-5)
    assert not step(with_gradients(make_supernet()), 20, sort_channels=False)[1]
    assert not step(with_gradients(make_supernet()), 0, fraction=0.0)[1]


@pytest.mark.parametrize("fraction", [-0.1, 1.0])
def test_what_is_no_fraction_below_1_is_refused(make_supernet, fraction):
    with pytest.raises(InvalidInput, match=rf"fraction={fraction} .* 0 or more, and below 1"):
        step(make_supernet(), 0, fraction=fraction)
