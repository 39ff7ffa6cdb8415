"""Weights sharded over two processes learn as those of one, from views made inside the forward."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard

from ofa import SpaceRules, Supernet
from ofa.models import ViT
from ofa.processes import processes
from ofa.task import Batch, classification
from ofa.train import sandwich
from ofa.train.sharded import ShardedStep, step_context
from tests.ofa.ranks import on_ranks

IMAGES = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(8) % 4
TASK = classification(num_classes=4)


def learned(rank: int, supernet: Supernet, *, recompute: bool) -> dict[str, Tensor]:
    """The weights after some steps, whole, and how many of them this process holds."""
    group = processes()
    step = ShardedStep(copy.deepcopy(supernet), partial(sandwich, label_weight=0.5), recompute=recompute)
    if not group.alone:
        fully_shard(step)
    optimizer = torch.optim.SGD(step.parameters(), lr=0.05, momentum=0.9)
    batch = Batch(group.rows(IMAGES), group.rows(LABELS))
    for number in range(5):
        loss, value = step(batch, step_context(number, 5, TASK, optimizer))
        assert not value.requires_grad
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    local = [getattr(parameter, "_local_tensor", parameter).numel() for parameter in step.parameters()]
    whole = {name: _whole(parameter) for name, parameter in step.model.named_parameters()}
    return whole | {"held": torch.tensor(sum(local))}


def _whole(parameter: nn.Parameter) -> Tensor:
    return (parameter.full_tensor() if hasattr(parameter, "full_tensor") else parameter).detach()


@pytest.mark.slow
@pytest.mark.parametrize("recompute", [False, True])
def test_two_processes_end_as_one(recompute: bool) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = ViT((1, 8, 8), 4, patch=4, width=16, depth=2, heads=2)
    supernet = Supernet(net, torch.zeros(2, 1, 8, 8), SpaceRules(width_ratios=(0.5, 1.0), multiple_of=2))
    alone = learned(0, supernet, recompute=False)
    first, second = on_ranks(2, partial(learned, supernet=supernet, recompute=recompute))
    moved = max(
        float((tensor - dict(net.named_parameters())[name].detach()).abs().max())
        for name, tensor in alone.items()
        if name != "held"
    )
    assert moved > 1e-2
    for name, tensor in alone.items():
        if name != "held":
            assert torch.equal(first[name], second[name])
            assert float((tensor - first[name]).abs().max()) < 1e-5
    assert max(int(part["held"]) for part in (first, second)) < 0.6 * int(alone["held"])
