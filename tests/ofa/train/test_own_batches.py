"""Networks of a step with examples of their own: who sees what, how long an epoch is, and what cannot be learned so."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ofa import InvalidInput
from ofa.data import from_iterables, synthetic
from ofa.task import Batch, classification
from ofa.train import OFA_PHASES, Teacher, TrainSettings, progressive, sandwich, train
from ofa.train.own_batches import batches_per_step, epoch_steps, parts_of, passes
from ofa.train.warm_start import warm_start
from tests.ofa.train.supernet_trainings import QUICK, SGD, fit

LABELS = partial(sandwich, label_weight=1.0)


def settings(**changes) -> TrainSettings:
    return TrainSettings(optimizer=SGD, epochs=1, **({"batch_size": 8, "batches_per_step": 4} | changes))


@pytest.fixture
def seen(make_supernet, data):
    """Trains with four batches a step; the images that each network of each step was called with, step by step."""

    def run(strategy, **changes):
        supernet, steps = make_supernet(), []
        original = supernet.subnet

        def watched(arch, **options):
            view = original(arch, **options)
            if options.get("accumulate"):
                view.register_forward_pre_hook(lambda _, inputs: steps[-1].append(inputs[0].clone()))
            return view

        def step(net, batch, context):
            steps.append([])
            return strategy(net, batch, context)

        supernet.subnet = watched
        fit(supernet, data, strategy=step, **({"batch_size": 8, "batches_per_step": 4, "augment": None} | changes))
        return steps

    return run


def test_networks_of_a_step_see_examples_of_their_own(seen):
    for networks in seen(LABELS, epochs=1):
        assert [len(images) for images in networks] in ([8, 8, 8, 8], [6, 6, 6, 6])  # the end of a pass
        assert len(torch.cat(networks).flatten(1).unique(dim=0)) == sum(map(len, networks))


def test_with_one_batch_they_all_see_the_same(seen):
    for networks in seen(LABELS, epochs=1, batches_per_step=1):
        assert len(networks) in (2, 3, 4)  # the largest learns once
        assert all(torch.equal(images, networks[0]) for images in networks)


def test_an_epoch_costs_what_it_did_and_reads_the_data_once_for_each_network(seen, data):
    steps = seen(LABELS, epochs=1)
    assert len(steps) == epoch_steps(data.train, settings()) == 4 * 4
    rows = torch.cat([torch.cat(networks) for networks in steps]).flatten(1)
    _, counts = rows.unique(dim=0, return_counts=True)
    assert counts.max() == 4  # none more often than there are passes


def test_an_epoch_goes_on_from_any_step():
    split = synthetic(samples=120, image_size=8).train

    def batches_of(number: int, start: int):
        return iter([(number, step) for step in range(start, 2)])  # two of 32 in each pass

    every = list(passes(batches_of, split, settings(), 3, 0))
    assert every == [(number, step) for number in range(12, 16) for step in range(2)]
    for start in range(len(every)):
        assert list(passes(batches_of, split, settings(), 3, start)) == every[start:]


@pytest.mark.parametrize(("batch_size", "sizes"), [(8, [32, 32, 32, 24]), (13, [52, 52]), (11, [44, 44, 32])])
def test_the_end_of_a_pass_is_learned_if_it_is_half_a_step_or_more(seen, batch_size, sizes):
    """Of 120 examples; a step that is left out would make an epoch of a small data set much shorter."""
    steps = seen(LABELS, epochs=1, batch_size=batch_size)
    assert [sum(map(len, networks)) for networks in steps] == 4 * sizes


def test_fewer_examples_than_a_step_asks_for_are_shared_out(seen):
    steps = seen(LABELS, epochs=1, batch_size=50)  # 200 of the 120 that there are
    assert len(steps) == 4
    assert [len(images) for images in steps[0]] == [30, 30, 30, 30]


def test_fewer_examples_than_networks_are_learned_by_several():
    parts = parts_of(Batch(torch.arange(3.0)[:, None]), 5, SimpleNamespace(batches=4))
    assert [part.inputs.flatten().tolist() for part in parts] == [[0.0], [1.0], [2.0], [0.0], [1.0]]


def test_batches_that_come_in_sizes_of_their_own_are_seen_by_all():
    pairs = [(torch.randn(5, 1, 8, 8), torch.arange(5) % 4)] * 3
    data = from_iterables(train=lambda epoch: pairs, validation=lambda epoch: pairs, test=lambda epoch: pairs)
    assert batches_per_step(data.train, settings()) == 1
    assert epoch_steps(data.train, settings()) == 3


@pytest.mark.parametrize(
    "strategy", [sandwich, partial(sandwich, label_weight=0.5), partial(sandwich, label_weight=1.0, features=1.0)]
)
def test_the_largest_cannot_teach_what_it_has_not_seen(make_supernet, data, strategy):
    with pytest.raises(InvalidInput, match="has not seen the other networks' examples where batches_per_step=4"):
        fit(make_supernet(), data, strategy=strategy, batch_size=8, batches_per_step=4)


def test_a_teacher_of_its_own_teaches_each_network_its_examples(make_supernet, data):
    """Its outputs are a part of the batch: networks that learn from it alone end where it is."""

    class Answers(nn.Module):
        def forward(self, images):
            return 5 * images.flatten(1)[:, :4]

    supernet = make_supernet()
    changes = QUICK | {"batch_size": 8, "batches_per_step": 4, "augment": None, "epochs": 20}
    changes.pop("strategy")
    task = replace(classification(data), distill=lambda ours, theirs, batch: (ours - theirs).square().mean())
    taught = partial(sandwich, label_weight=0.0)
    history = train(supernet, data, taught, TrainSettings(**changes), task=task, teacher=Teacher(Answers()))
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]


def test_progressive_and_a_warm_start_share_out_the_batch_too(seen):
    for networks in seen(partial(warm_start, strategy=LABELS, fraction=0.5), epochs=2):
        assert {len(images) for images in networks} in ({8}, {6})
    phases = [replace(phase, subnets=2) for phase in OFA_PHASES]
    sizes = {len(images) for networks in seen(partial(progressive, phases=phases)) for images in networks}
    assert sizes <= {12, 16, 24, 32}  # half of the batch, or all of it where both draws are the same
    assert 16 in sizes


def test_micro_batches_are_shared_out_one_by_one(seen):
    for networks in seen(LABELS, epochs=1, accumulation=2):
        assert {len(images) for images in networks} in ({4}, {3})


def test_a_batch_is_not_cut_before_the_first_step(make_supernet, data):
    """The network is tried on as many examples as it learns from, not on those of all."""
    supernet, sizes = make_supernet(), []
    task = classification(data)
    checked = replace(task, check=lambda outputs, batch: sizes.append(batch.examples))
    fit(supernet, data, task=checked, strategy=LABELS, batch_size=8, batches_per_step=4, epochs=1)
    assert sizes[0] == 8


def test_batch_is_rows_of_a_teacher_too():
    batch = Batch(torch.arange(8.0)[:, None], torch.arange(8), torch.arange(8.0))
    assert torch.equal(batch.rows(2, 4).teacher, torch.tensor([2.0, 3.0]))
