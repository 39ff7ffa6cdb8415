"""From a trained supernet to subnets within limits, in Python: profile, find, extract, load; a minute on one core.

python examples/search_in_python.py [epochs]
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

import ofa
import search
from ofa.data import digits
from ofa.train import TrainSettings, train
from ofa.train.strategies import sandwich

# How long a device is measured: less than the usual 50 s, for so small a network.
QUICK = {"anchors": 12, "blocks": 24, "visits": 10, "seconds": 10.0, "clock": "cpu"}
DEVICE = {"name": "onnxruntime", "profile": QUICK}


class Net(nn.Module):
    """Three convolutions and a classifier."""

    def __init__(self, width: int = 32, classes: int = 10) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, width, 3, padding=1)
        self.second = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.third = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.head = nn.Linear(2 * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (N, classes) of images (N, 1, H, W)."""
        x = torch.relu(self.first(images))
        x = torch.relu(self.third(torch.relu(self.second(x))))
        return self.head(x.mean((2, 3)))


def main(epochs: int = 12) -> None:
    """Trains a supernet, then looks for its best subnets within a latency and a number of parameters."""
    torch.manual_seed(0)
    data = digits()
    supernet = ofa.Supernet(Net(), torch.randn(2, *data.input_shape))
    optimizer = partial(torch.optim.AdamW, lr=3e-3)
    train(supernet, data, sandwich, TrainSettings(optimizer=optimizer, epochs=epochs, batch_size=64))

    with tempfile.TemporaryDirectory() as outputs:
        kept = {"run": "digits", "outputs": outputs}  # a run keeps the profile, and a search that is cut off resumes
        profile = search.profile(supernet, DEVICE, **kept)
        ends = [supernet.space.smallest, supernet.space.largest]
        low, high = profile.predict_archs(supernet, ends)
        print(f"{low:.4f} to {high:.4f} ms, off by {profile.held_out_error:.1%} on subnets held out")

        limits = {"latency_ms": [1.5 * high, 3 * high], "params": 40_000}
        found = search.find(supernet, data, limits, device=DEVICE, evaluations=24, finalists={"seconds": 4.0}, **kept)
        print(found)
        for trial in found.front:
            print(f"trial {trial.number}: {found.metric.text(trial.score)} at {trial.figures['latency_ms']:.4f} ms")

        card = found.extract(Path(outputs) / "my_subnet")  # model.onnx, model.safetensors, network.py, card.json ...
        net = search.load(Path(outputs) / "my_subnet", model=Net())  # a plain Net, its logits compared with the card's
        test = ofa.evaluate(net, data.test.images, data.test.labels)
        print(f"{card.params:,} params, {card.measured_ms:.4f} ms, test {test:.2%}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
