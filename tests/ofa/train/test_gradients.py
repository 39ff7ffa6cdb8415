"""Gradients of a step's networks: each way of putting them together does what its name says."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ofa
from ofa import InvalidInput
from ofa.train import sandwich, single
from ofa.train.gradients import (
    StepGradients,
    by_macs,
    capped,
    combined,
    equal_norms,
    mean,
    total,
    without_conflicts,
)
from tests.ofa.train.steps import BATCH, context, gradients, with_gradients

some_rows = st.builds(
    lambda seed, networks: torch.randn(networks, 6, generator=torch.Generator().manual_seed(seed)),
    st.integers(0, 10_000),
    st.integers(1, 5),
)
quickly = settings(max_examples=30, deadline=None)


def of(rows, archs=(), supernet=None, seed=0) -> StepGradients:
    return StepGradients(rows, tuple(archs), supernet, np.random.default_rng(seed))


def trained(supernet, combine, strategy=sandwich):
    loss = combined(supernet, BATCH, context(3), strategy=strategy, combine=combine)
    return loss, gradients(supernet)


def rows_of(supernet):
    """The gradients of a sandwich's networks, one by one."""
    kept = []
    trained(supernet, lambda found: kept.append(found) or total(found))
    for parameter in supernet.parameters():
        parameter.grad.zero_()
    return kept[0]


def test_the_total_is_what_a_strategy_leaves_by_itself(make_supernet):
    plain, put_together = with_gradients(make_supernet()), with_gradients(make_supernet())
    expected = sandwich(plain, BATCH, context(3))
    loss, got = trained(put_together, total)
    assert torch.equal(loss, expected)
    assert torch.allclose(got, gradients(plain), atol=1e-6)


def test_each_network_has_its_own_row_and_nothing_of_weights_that_it_has_not(make_supernet):
    supernet = with_gradients(make_supernet())
    found = rows_of(supernet)
    space = supernet.space
    assert found.archs[:2] == (space.largest, space.smallest) and len(found.archs) == len(found.rows) == 4
    for arch, row in zip(found.archs, found.rows, strict=True):
        sizes = sum(parameter.numel() for parameter in supernet.subnet(arch).parameters())
        assert 0 < row.count_nonzero() <= sizes


def test_gradients_of_earlier_micro_batches_stay(make_supernet):
    supernet = with_gradients(make_supernet())
    _, once = trained(supernet, mean)
    _, twice = trained(supernet, mean)
    assert torch.allclose(twice, 2 * once, rtol=1e-4, atol=1e-6)


def test_a_strategy_that_does_not_say_whose_loss_it_is_is_refused(make_supernet):
    supernet = with_gradients(make_supernet())

    def own(supernet, batch, context):
        loss = context.task.loss(supernet.subnet(supernet.space.largest)(batch.inputs), batch)
        context.backward(loss)
        return loss.detach()

    with pytest.raises(InvalidInput, match=r"call context\.backward_of\(arch, loss\)"):
        trained(supernet, mean, own)


def test_one_network_is_what_it_is_whatever_the_way(make_supernet):
    supernet = with_gradients(make_supernet())
    single(supernet, BATCH, context(3))
    alone = gradients(supernet)
    for combine in (total, mean, by_macs, equal_norms, capped, without_conflicts):
        other = with_gradients(make_supernet())
        assert torch.allclose(trained(other, combine, single)[1], alone, atol=1e-6), combine


@quickly
@given(some_rows)
def test_means(rows):
    assert torch.allclose(mean(of(rows)) * len(rows), total(of(rows)), atol=1e-5)


@pytest.mark.parametrize("power", [-1.0, 0.0, 0.5])
def test_weights_by_macs_are_1_in_the_mean_and_in_the_proportion_of_macs(make_supernet, power):
    supernet = with_gradients(make_supernet())
    archs = [supernet.space.largest, supernet.space.smallest]
    weights = by_macs(of(torch.eye(2), archs, supernet), power=power)
    large, small = ofa.cost(supernet, archs)["macs"].tolist()
    assert float(weights.mean()) == pytest.approx(1)
    assert float(weights[0] / weights[1]) == pytest.approx((large / small) ** power, rel=1e-5)


@quickly
@given(some_rows, st.floats(0.1, 3))
def test_norms(rows, times):
    norms = rows.norm(dim=1)
    diagonal = torch.diag(norms)  # each network wants a direction of its own: what comes out are the norms used
    assert torch.allclose(equal_norms(of(diagonal)), norms.mean().expand(len(rows)), rtol=1e-4)
    expected = torch.minimum(norms, times * norms[0])
    assert torch.allclose(capped(of(diagonal), times=times), expected, rtol=1e-4)


def test_a_network_that_wants_nothing_changes_nothing():
    rows = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    for combine in (capped, without_conflicts):
        assert torch.allclose(combine(of(rows)), rows[0])
    assert torch.allclose(equal_norms(of(rows)), rows[0] / 2)  # the norms are 2.5 in the mean


def apart(first, second):
    return first - min(0.0, float(first @ second)) / float(second @ second) * second


@quickly
@given(st.integers(0, 10_000))
def test_of_two_networks_no_conflict_is_left(seed):
    rows = torch.randn(2, 6, generator=torch.Generator().manual_seed(seed))
    first, second = apart(rows[0], rows[1]), apart(rows[1], rows[0])
    got = without_conflicts(of(rows))
    assert torch.allclose(got, first + second, atol=1e-4)
    assert min(float(first @ rows[1]), float(second @ rows[0]), float(got @ rows[0]), float(got @ rows[1])) > -1e-4


@quickly
@given(some_rows, st.integers(0, 100))
def test_conflicts_are_removed_as_published(rows, seed):
    rng, expected = np.random.default_rng(seed), torch.zeros(6)
    for number in range(len(rows)):
        left = rows[number].clone()
        for other in rng.permutation(len(rows)):
            left = apart(left, rows[other]) if other != number else left
        expected += left
    assert torch.allclose(without_conflicts(of(rows, seed=seed)), expected, atol=1e-3)


@quickly
@given(some_rows)
def test_gradients_that_agree_are_added_up(rows):
    assert torch.allclose(without_conflicts(of(rows.abs())), rows.abs().sum(dim=0), rtol=1e-5)


@pytest.mark.parametrize("wrong", [partial(by_macs, power=float("inf")), partial(capped, times=0.0)])
def test_arguments_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInput, match=r"must be"):
        wrong(of(torch.ones(1, 2)))
