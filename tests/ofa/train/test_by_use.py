"""A step by use: each weight has the gradient that it would have if all networks of the step had it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ofa import InvalidInput
from ofa.processes import Processes
from ofa.train import sandwich, single
from ofa.train.by_use import scaled_by_use, use_counts
from ofa.train.gradients import combined, total
from tests.ofa.train.steps import BATCH, context, gradients, with_gradients


def step(supernet, now=None, strategy=sandwich):
    loss = scaled_by_use(supernet, BATCH, context(3) if now is None else now, strategy=strategy)
    return loss, gradients(supernet)


def rows_of(supernet):
    """The gradients of the networks of the same step, and how many of them have each entry."""
    kept = []
    combined(supernet, BATCH, context(3), strategy=sandwich, combine=lambda found: kept.append(found) or total(found))
    counts = use_counts(supernet, kept[0].archs, list(supernet.parameters()))
    return kept[0].rows, torch.cat([count.flatten() for count in counts])


def test_each_weight_has_the_mean_of_the_networks_that_have_it_times_their_number(make_supernet):
    rows, counts = rows_of(with_gradients(make_supernet()))
    supernet = with_gradients(make_supernet())
    loss, got = step(supernet)
    assert torch.equal(loss, sandwich(with_gradients(make_supernet()), BATCH, context(3)))
    assert torch.allclose(got, 4 * rows.sum(dim=0) / counts.clamp(min=1), rtol=1e-4, atol=1e-6)
    everywhere = (rows != 0).all(dim=0)
    only_largest = (rows[1:] == 0).all(dim=0) & (rows[0] != 0) & (counts == 1)
    assert everywhere.any() and torch.allclose(got[everywhere], rows[:, everywhere].sum(dim=0), rtol=1e-4, atol=1e-6)
    assert only_largest.any() and torch.allclose(got[only_largest], 4 * rows[0, only_largest], rtol=1e-4, atol=1e-6)
    assert bool((rows != 0).sum(dim=0).le(counts).all())


def test_of_one_network_it_is_its_gradient(make_supernet):
    plain = with_gradients(make_supernet())
    single(plain, BATCH, context(3))
    _, got = step(with_gradients(make_supernet()), strategy=single)
    assert torch.equal(got, gradients(plain))


def test_gradients_of_earlier_micro_batches_stay(make_supernet):
    once, twice = (with_gradients(make_supernet()) for _ in range(2))
    step(once)
    for number in range(2):
        step(twice, replace(context(3), micro_batch=number))
    assert torch.allclose(gradients(twice), 2 * gradients(once), rtol=1e-4, atol=1e-6)


def test_networks_of_all_processes_count_where_each_draws_its_own(make_supernet):
    """Two that draw the same are as one; where the other has not a weight, that of this one is the mean of one."""

    class Both(Processes):
        def sum_(self, tensor):
            return 2 * tensor

    class OtherHasNothing(Processes):
        def sum_(self, tensor):
            return tensor

    _, alone = step(with_gradients(make_supernet()))
    for group, times in ((Both(0, 2), 1), (OtherHasNothing(0, 2), 2)):
        _, got = step(with_gradients(make_supernet()), replace(context(3), drawing=group))
        assert torch.allclose(got, times * alone, rtol=1e-5)


def test_a_strategy_that_does_not_say_whose_loss_it_is_is_refused(make_supernet):
    def own(supernet, batch, context):
        loss = context.task.loss(supernet.subnet(supernet.space.largest)(batch.inputs), batch)
        context.backward(loss)
        return loss.detach()

    with pytest.raises(InvalidInput, match=r"call context\.backward_of\(arch, loss\)"):
        step(with_gradients(make_supernet()), strategy=own)


def test_weights_that_are_not_trained_are_passed_over(make_supernet):
    supernet = with_gradients(make_supernet())
    frozen = next(iter(supernet.parameters())).requires_grad_(False)
    frozen.grad = None
    scaled_by_use(supernet, BATCH, context(3), strategy=sandwich)
    assert frozen.grad is None and all(parameter.grad is not None for parameter in list(supernet.parameters())[1:])
