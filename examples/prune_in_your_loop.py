"""A training loop of your own with a Pruner beside it: single weights, then whole channels, a minute on one core.

python examples/prune_in_your_loop.py [epochs]
"""

from __future__ import annotations

import copy
import sys
from functools import partial

import torch
from torch import nn
from torch.nn import functional

import ofa
from ofa.data import digits
from ofa.models import ResNet
from ofa.prune import Cubic, Pruner
from ofa.prune.allocation import budget
from ofa.prune.criteria import magnitude, normalized
from ofa.prune.granularity import channel

data = digits()
images, labels = data.train.images, data.train.labels


def train(net: nn.Module, optimizer: torch.optim.Optimizer, epochs: int, pruner: Pruner | None = None) -> None:
    """Any loop will do: the pruner needs one call after the optimizer's step."""
    net.train()
    for rows in (rows for _ in range(epochs) for rows in torch.randperm(len(images)).split(64)):
        optimizer.zero_grad()
        functional.cross_entropy(net(images[rows]), labels[rows]).backward()
        optimizer.step()
        if pruner is not None:
            pruner.step()
    print(f"test accuracy {ofa.evaluate(net, data.test.images, data.test.labels):.2%}")


def main(epochs: int = 10) -> None:
    """Trains a small ResNet, then prunes two copies of it."""
    torch.manual_seed(0)
    net = ResNet(data.input_shape, data.num_classes, depth=8)
    train(net, torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True), epochs)
    steps = epochs * len(labels) // 64
    example = torch.zeros(2, *data.input_shape)

    sparse = copy.deepcopy(net)
    optimizer = torch.optim.SGD(sparse.parameters(), lr=0.02, momentum=0.9)
    schedule = Cubic(0.9, begin=0, end=steps // 2, every=5)
    pruner = Pruner(sparse, optimizer, schedule=schedule, example_input=example)
    train(sparse, optimizer, epochs, pruner)
    print(pruner.report())

    narrow = copy.deepcopy(net)
    optimizer = torch.optim.SGD(narrow.parameters(), lr=0.02, momentum=0.9)
    pruner = Pruner(
        narrow,
        optimizer,
        schedule=Cubic(0.5, begin=0, end=steps // 2, every=5),  # half of the multiply-accumulates
        granularity=partial(channel, multiple_of=4),
        allocation=partial(budget, metric="macs"),
        criterion=normalized(magnitude),
        example_input=example,
    )
    train(narrow, optimizer, epochs, pruner)
    slim, optimizer = pruner.slim()  # plain and smaller; the optimizer goes on with the state that is left
    train(slim, optimizer, 1)
    sizes = [sum(parameter.numel() for parameter in one.parameters()) for one in (narrow, slim)]
    print(f"parameters: {sizes[0]:,} before, {sizes[1]:,} slim")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
