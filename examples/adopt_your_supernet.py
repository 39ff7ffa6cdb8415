"""A supernet in a training loop of your own: saved, loaded, and adopted as a run for the command line; under a minute.

python examples/adopt_your_supernet.py [epochs]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

import ofa
import search
from ofa.data import digits
from ofa.models import ResNet

data = digits()
MODEL = {"depth": 8, "widths": [16, 16, 32]}


def train(supernet: ofa.Supernet, epochs: int) -> None:
    """Any loop will do: here the largest, the smallest and one subnet at random learn in each step."""
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.05, momentum=0.9)
    images, labels = data.train.images, data.train.labels
    supernet.model.train()
    for rows in (rows for _ in range(epochs) for rows in torch.randperm(len(labels), generator=generator).split(64)):
        optimizer.zero_grad()
        for arch in (supernet.space.largest, supernet.space.smallest, supernet.space.sample(rng)):
            functional.cross_entropy(supernet.subnet(arch)(images[rows]), labels[rows]).backward()
        optimizer.step()
    supernet.model.eval()


def main(epochs: int = 10) -> None:
    """Trains in a loop of its own, saves, loads, and makes a run of it."""
    torch.manual_seed(0)
    supernet = ofa.Supernet(ResNet(data.input_shape, data.num_classes, **MODEL), torch.randn(2, *data.input_shape))
    train(supernet, epochs)
    with tempfile.TemporaryDirectory() as outputs:
        folder = ofa.save(supernet, Path(outputs) / "saved")  # weights and a record, no code
        again = ofa.load(folder, ResNet(data.input_shape, data.num_classes, **MODEL))  # the same bits in every subnet
        assert again.digest == supernet.digest

        run = search.adopt(  # verbs build model and data again: both are named, made once and compared
            again, data, "mine", outputs, model="ofa.models.ResNet", model_arguments=MODEL, dataset="ofa.data.digits"
        )
        print(f"{run.root}: ofa profile, ofa search latency_ms=..., ofa extract, ofa report go on from here")

        largest = ofa.calibrate(again.subnet(again.space.largest), data.calibration(512))
        print(f"test {ofa.evaluate(largest, data.test.images, data.test.labels):.2%}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
