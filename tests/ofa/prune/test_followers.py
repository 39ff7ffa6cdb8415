"""Followers: dropout falls with the connections that are left, layers are trained in turns; both after resuming too."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from ofa.errors import CollapseWarning, InvalidInput
from ofa.prune import Cubic, OneShot, Pruner, resolved
from ofa.prune.followers import Alternation, ScaledDropout

EXAMPLE = torch.zeros(2, 1, 8, 8)


def model() -> nn.Sequential:
    torch.manual_seed(0)
    front = nn.Dropout(0.1), nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Dropout2d(0.4), nn.Flatten()
    return nn.Sequential(*front, nn.Linear(288, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 4))


def test_dropout_falls_with_the_root_of_the_connections() -> None:
    net = model()
    pruner = Pruner(net, schedule=OneShot(0.8, at=1), followers=[ScaledDropout()], example_input=EXAMPLE)
    assert [net[0].p, net[3].p, net[7].p] == [0.1, 0.4, 0.5]
    pruner.step()
    left = {name: mask.float().mean().item() for name, mask in pruner.masks.items()}
    assert net[0].p == 0.1  # of the input
    assert net[3].p == pytest.approx(0.4 * math.sqrt(left["1.weight"]))
    assert net[7].p == pytest.approx(0.5 * math.sqrt(left["5.weight"])) and net[7].p < 0.3
    other = model()
    Pruner(other, followers=[ScaledDropout()], example_input=EXAMPLE, state=pruner.state_dict())
    assert other[7].p == net[7].p
    pruner.finalize()
    assert net[7].p < 0.3


def test_layers_are_trained_in_turns() -> None:
    net = model()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.1)
    turns = resolved(Alternation(every=0.25, until=0.75), 20)
    schedule = Cubic(0.5, begin=0, end=15, every=5)
    pruner = Pruner(net, optimizer, schedule=schedule, followers=[turns], example_input=EXAMPLE)
    moved = []
    for step in range(20):
        before = net[1].weight.clone(), net[5].weight.clone()
        optimizer.zero_grad()
        functional.cross_entropy(net(torch.randn(8, 1, 8, 8)), torch.arange(8) % 4).backward()
        optimizer.step()
        moved.append((not torch.equal(before[0], net[1].weight), not torch.equal(before[1], net[5].weight)))
        if step == 6:
            state = pruner.state_dict()
        pruner.step()
    assert moved == [(False, True)] * 5 + [(True, False)] * 5 + [(False, True)] * 5 + [(True, True)] * 5
    assert pruner.density == pytest.approx(0.5, abs=0.01)
    other = model()
    resumed = Pruner(other, schedule=schedule, followers=[turns], example_input=EXAMPLE, state=state)
    assert other[1].weight.requires_grad and not other[5].weight.requires_grad
    with pytest.warns(CollapseWarning, match="not reached"):  # its training has just begun
        resumed.finalize()
    assert all(parameter.requires_grad for parameter in other.parameters())


def test_what_cannot_follow_is_refused() -> None:
    with pytest.raises(InvalidInput, match="linear layers alone"):
        Pruner(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), followers=[Alternation(1, 2)])
    with pytest.raises(InvalidInput, match="ScaledDropout finds layers"):
        Pruner(model(), followers=[ScaledDropout()])
    Pruner(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), followers=[ScaledDropout()])  # no dropout, no example
