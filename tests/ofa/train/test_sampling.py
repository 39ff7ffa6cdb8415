"""Sampling: the Archs that a step draws are spread as each way says, and are those of the open space."""

from __future__ import annotations

from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch

import ofa
from ofa import InvalidInput, SpaceRules, Supernet
from ofa.models import MLP
from ofa.train import Phase, progressive, sandwich
from ofa.train.sampling import attentive, fair, sampled, uniform_macs
from tests.ofa.train.steps import BATCH, IMAGES, context, gradients, with_gradients

RULES = SpaceRules(width_ratios=(0.25, 0.5, 0.75, 1.0), multiple_of=4, min_depth=3)


@pytest.fixture(scope="module")
def wide() -> Supernet:
    """A space of many choices, whose sizes are all near the middle where each is drawn by itself."""
    net = MLP((1, 8, 8), 4, width=8, hidden=32, depth=4)
    return Supernet(net, torch.zeros(2, 1, 8, 8), RULES)


def drawn(supernet, draw, steps=40, count=4):
    return [arch for step in range(steps) for arch in draw(supernet, BATCH, supernet.space, count, context(step))]


def share_of_range(supernet, archs):
    """MACs of Archs, from 0 for those of the smallest to 1 for those of the largest."""
    macs = ofa.cost(supernet, [supernet.space.smallest, supernet.space.largest, *archs])["macs"].astype(float)
    return (macs[2:] - macs[0]) / (macs[1] - macs[0])


def by_choice(supernet, batch, space, count, context):
    return [space.sample(context.rng) for _ in range(count)]


def test_macs_are_spread_evenly(wide):
    plain, spread = (np.sort(share_of_range(wide, drawn(wide, draw))) for draw in (by_choice, uniform_macs))
    even = (np.arange(len(spread)) + 0.5) / len(spread)
    assert np.abs(spread - even).max() < 0.17 < 0.2 < np.abs(plain - even).max()


def test_each_value_of_a_choice_is_drawn_equally_often(wide):
    values = max(len(choice.values) for choice in wide.space.choices)
    for choice in wide.space.choices:
        if len(choice.values) != values or choice.active_when != ((),):
            continue
        for steps in (range(0, values), range(values, 2 * values)):
            archs = [arch for step in steps for arch in fair(wide, BATCH, wide.space, 3, context(step))]
            assert set(Counter(arch.values[choice.key] for arch in archs).values()) == {3}, choice.key


def test_fair_draws_are_random_and_a_function_of_seed_and_step(wide):
    archs = drawn(wide, fair)
    assert archs == drawn(wide, fair) and len(set(archs)) > len(archs) / 2


@pytest.mark.parametrize("draw", [uniform_macs, fair, attentive])
def test_archs_are_of_the_space_that_is_open(wide, draw):
    from ofa.train.schedules import opened

    space = opened(wide.space, Phase(1.0, width=2, depth=1))
    archs = draw(wide, BATCH, space, 3, context(5))
    assert len(archs) == 3
    assert all(space.contains(wide.space.arch(arch.values)) for arch in archs)


def test_attentive_draws_have_less_loss_or_more_of_it(wide):
    def loss(arch):
        with torch.no_grad():
            return float(context().task.loss(wide.subnet(arch)(IMAGES), BATCH))

    best, worst = (
        np.array([loss(arch) for arch in drawn(wide, partial(attentive, best=best, candidates=4), steps=6, count=1)])
        for best in (True, False)
    )
    assert (best <= worst + 1e-6).all() and best.mean() < worst.mean()


def test_strategies_train_what_is_drawn(make_supernet):
    supernet, plain = with_gradients(make_supernet()), with_gradients(make_supernet())
    asked = []

    def smallest(supernet, batch, space, count, context):
        asked.append(count)
        return [space.smallest] * count

    got = sampled(supernet, BATCH, context(3), strategy=partial(sandwich, random_subnets=3), draw=smallest)
    assert asked == [3]
    sandwich(plain, BATCH, context(3), random_subnets=0)
    assert torch.isfinite(got) and not torch.allclose(gradients(supernet), gradients(plain))
    phases = [Phase(1.0, width=None, depth=None, kernel_size=None, subnets=2)]
    sampled(supernet, BATCH, context(3), strategy=partial(progressive, phases=phases), draw=smallest)
    assert asked == [3, 2]


@pytest.mark.parametrize("wrong", [partial(uniform_macs, candidates=0), partial(attentive, examples=0)])
def test_arguments_out_of_range_are_refused(wide, wrong):
    with pytest.raises(InvalidInput, match=r"(candidates|examples)=0 must be at least 1"):
        wrong(wide, BATCH, wide.space, 1, context())
