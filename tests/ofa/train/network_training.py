"""A plain network, a pruner that halves it, and its training."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa.identity import digest_of
from ofa.train import TrainSettings, train_network

SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=1e-4, fused=True)
ADAMW = partial(torch.optim.AdamW, lr=0.01)
QUICK = {"optimizer": SGD, "epochs": 3, "batch_size": 32, "gradient_clip": 1.0, "validate_every": 2}
STEPS = 3 * (120 // 32)


def fit(model, data, *, task=None, prune=None, distillation=None, checkpoint=None, callbacks=(), **changes):
    """Trains with the settings of QUICK, but for `changes`."""
    return train_network(
        model,
        data,
        TrainSettings(**QUICK | changes),
        task=task,
        prune=prune,
        distillation=distillation,
        checkpoint=checkpoint,
        callbacks=callbacks,
    )


class Net(nn.Module):
    """A convolution with a norm, dropout, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(8 * 16, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.dropout(functional.relu(self.norm(self.conv(images))).flatten(1)))


class Halving:
    """A stand-in for a pruner, with a random state: every third step it removes one more weight of the head."""

    def __init__(self, model: nn.Module, optimizer, total_steps: int, batches, *, stop: int | None = None) -> None:
        self.weight, self.stop = model.head.weight, stop
        self.total, self.count = total_steps, 0
        self.generator = torch.Generator().manual_seed(3)
        self.mask = torch.ones_like(self.weight, dtype=torch.bool)
        self.images = [len(images) for images, _ in batches()]

    @property
    def density(self) -> float:
        return float(self.mask.float().mean())

    def penalty(self) -> Tensor:
        return 1e-3 * self.weight.abs().sum()

    def step(self) -> None:
        self.count += 1
        if self.count % 3 == 0:
            flat = self.mask.view(-1)
            flat[torch.randint(flat.numel(), (), generator=self.generator)] = False
        with torch.no_grad():
            self.weight.mul_(self.mask)
        if self.count == self.stop:
            raise Stop

    def state_dict(self):
        state = self.generator.get_state()
        return {"mask": self.mask, "count": self.count, "random": [state, None], "rows": {"a": (1, 2.5)}}

    def load_state_dict(self, state) -> None:
        assert state["rows"] == {"a": [1, 2.5]}
        self.mask.copy_(state["mask"])
        self.count = state["count"]
        self.generator.set_state(state["random"][0])


class Stop(Exception):
    """The process ends here."""


def net(seed: int = 0) -> Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Net()


def same(first: nn.Module, second: nn.Module) -> bool:
    return digest_of(first) == digest_of(second)
