"""DistributedDataParallel around a model: refused where it would be silent, and beside a pruner the same masks."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
import torch._dynamo  # by the wrapper, once here rather than in every process
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ofa import Supernet
from ofa.errors import InvalidInput
from ofa.prune import Pruner
from ofa.prune.criteria import taylor
from ofa.prune.regrowth import RigL
from ofa.prune.schedules import Cubic
from ofa.train import TrainSettings, train_network
from tests.ofa.ranks import on_ranks
from tests.ofa.train.shared_trainings import QUICK, Small, data

IMAGES = torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 4


def refused(rank: int) -> list[str]:
    wrapped, example = DistributedDataParallel(Small()), torch.zeros(2, 1, 8, 8)
    tried = [
        lambda: Supernet(wrapped, example),
        lambda: Pruner(wrapped, example_input=example),
        lambda: train_network(wrapped, data(), TrainSettings(**QUICK)),
        lambda: Supernet(nn.Sequential(nn.Identity(), wrapped), example),
    ]
    said = []
    for make in tried:
        try:
            make()
        except InvalidInput as error:
            said.append(str(error))
    return said


def test_a_wrapped_model_is_refused() -> None:
    (said,) = on_ranks(1, refused)
    assert [line.partition(":")[0] for line in said] == ["Supernet", "Pruner", "train_network", "Supernet"]
    assert all("give the network inside it (its .module)" in line for line in said) and "the layer '1': " in said[3]


def pruned_in_own_loop(rank: int, changes: dict[str, Any]) -> dict[str, Tensor]:
    """The masks after a loop of one's own, whose gradients the wrapper exchanges; each rank has other examples."""
    torch.manual_seed(0)
    net = Small()
    wrapped = DistributedDataParallel(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    images, labels = IMAGES[rank::2], LABELS[rank::2]
    given = {"schedule": Cubic(0.8, begin=0, end=6, every=2), "batches": lambda: [(images, labels)]} | changes
    pruner = Pruner(net, optimizer, example_input=torch.zeros(2, 1, 8, 8), **given)
    for _ in range(6):
        optimizer.zero_grad()
        nn.functional.cross_entropy(wrapped(images), labels).backward()
        optimizer.step()
        pruner.step()
    return copy.deepcopy(pruner.masks) | {"density": torch.tensor(pruner.density)}


@pytest.mark.parametrize(
    "changes",
    [{}, {"criterion": taylor}, {"schedule": Cubic(0.8, begin=0, end=1, every=1), "regrowth": RigL(every=2, until=6)}],
    ids=["magnitude", "taylor", "rigl"],
)
def test_a_pruner_in_a_loop_of_ones_own_has_the_same_masks_everywhere(changes: dict[str, Any]) -> None:
    first, second = on_ranks(2, partial(pruned_in_own_loop, changes=changes))
    assert first.keys() == second.keys() and all(mask.equal(second[name]) for name, mask in first.items())
    assert float(first["density"]) == pytest.approx(0.2, abs=0.02)
