"""From a model of your own to a fitted subnet, in Python alone: no config, no search, under a minute on one core.

python examples/your_own_model.py [epochs]
"""

from __future__ import annotations

import sys
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

import ofa
from ofa.data import digits
from ofa.data.augment import random_shift
from ofa.task import classification
from ofa.train import TrainSettings, train
from ofa.train.strategies import sandwich


class Block(nn.Module):
    """A residual block; that it can be left out is found by running it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Returns maps of the same shape."""
        return torch.relu(x + self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x))))))


class Net(nn.Module):
    """Two scales of blocks walked by a Python loop, side by side at the end: as plain as they come."""

    def __init__(self, width: int = 32, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.fine = nn.ModuleList(Block(width) for _ in range(2))
        self.down = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.coarse = nn.ModuleList(Block(width) for _ in range(2))
        self.head = nn.Linear(2 * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (N, classes) of images (N, 1, H, W)."""
        x = torch.relu(self.stem(images))
        for block in self.fine:
            x = block(x)
        y = self.down(x)
        for block in self.coarse:
            y = block(y)
        return self.head(torch.cat([x.mean((2, 3)), y.mean((2, 3))], 1))


def main(epochs: int = 12) -> None:
    """Trains, picks the most accurate of 50 subnets with at most a quarter of the MACs, and extracts it."""
    torch.manual_seed(0)
    data = digits()
    supernet = ofa.Supernet(Net(), torch.randn(2, *data.input_shape))
    print(supernet.report(), f"\n{supernet.space.size:,} subnets\n")

    optimizer = partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    settings = TrainSettings(optimizer=optimizer, epochs=epochs, batch_size=64, gradient_clip=5.0,
                             augment=partial(random_shift, pixels=1))  # fmt: skip
    train(supernet, data, sandwich, settings, task=classification(data, label_smoothing=0.1))

    rng, images = np.random.default_rng(0), data.calibration(512)
    limit = ofa.cost(supernet, [supernet.space.largest])["macs"][0] // 4
    archs = [arch for arch in (supernet.space.sample(rng) for _ in range(200))
             if ofa.cost(supernet, [arch])["macs"][0] <= limit][:50]  # fmt: skip
    accuracy = {arch: ofa.evaluate(ofa.calibrate(supernet.subnet(arch), images),
                                   data.validation.images, data.validation.labels) for arch in archs}  # fmt: skip
    best = max(archs, key=lambda arch: accuracy[arch])

    net = ofa.calibrate(supernet.extract(best), images)  # a plain Net, nothing of ofa inside
    test = ofa.evaluate(net, data.test.images, data.test.labels)
    print(f"{best.to_json()}\nvalidation {accuracy[best]:.2%}, test {test:.2%}, at most {limit:,} MACs")
    print(torch.export.export(net, (data.test.images[:2],)).graph_signature.user_outputs)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
