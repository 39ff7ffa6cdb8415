"""DistributedDataParallel around a model: refused where it would be silent."""

from __future__ import annotations

import torch
import torch._dynamo  # by the wrapper, once here rather than in every process
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ofa import Supernet
from ofa.errors import InvalidInput
from ofa.prune import Pruner
from ofa.train import TrainSettings, train_network
from tests.ofa.ranks import on_ranks
from tests.ofa.train.shared_trainings import QUICK, Small, data


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
