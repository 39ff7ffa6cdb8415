"""Soft pruning: what is zeroed is trained on and may come back, until it is decided."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.nn import functional

from ofa.errors import InvalidInput
from ofa.prune import Pruner, resolved
from ofa.prune.granularity import channel
from ofa.prune.soft import Soft
from tests.ofa.prune.pruned_training import SHAPE, batches, net

EXAMPLE = torch.zeros(2, *SHAPE)


@pytest.mark.parametrize("channels", [False, True])
def test_zeroed_weights_come_back_until_it_is_decided(channels: bool) -> None:
    model = net()
    made = torch.optim.SGD(model.parameters(), lr=0.5)
    granularity = {"granularity": partial(channel, multiple_of=1)} if channels else {}
    schedule = resolved(Soft(0.5, until=0.8), 20, 4)
    pruner = Pruner(model, made, schedule=schedule, example_input=EXAMPLE, **granularity)
    weight = model.hidden[0].weight
    zeros = []
    for images, labels in batches(20):
        made.zero_grad()
        functional.cross_entropy(model(images), labels).backward()
        made.step()
        pruner.step()
        zeros.append(weight == 0)
    for step in (4, 8, 12):
        gone = zeros[step - 1]
        assert gone.float().mean() > 0.2, step  # zeroed by the event
        assert bool(gone.any(dim=1).any())
        assert (gone & ~zeros[step]).sum() > 0.1 * gone.sum(), step  # and moved by the next step
    assert pruner.density < 0.6
    assert not weight[~pruner.masks["hidden.0.weight"]].any()
    assert torch.equal(zeros[-1] | pruner.masks["hidden.0.weight"], torch.ones_like(zeros[-1]))
    assert not pruner.warnings()


def test_events_come_each_epoch_and_at_the_end() -> None:
    schedule = resolved(Soft(0.5, until=0.8), 100, 30)
    assert [step for step in range(101) if schedule(step) is not None] == [30, 60, 80]
    assert schedule.is_soft(60) and not schedule.is_soft(80)
    with pytest.raises(InvalidInput, match=r"Soft: final=1\.5"):
        Soft(1.5)
