"""The networks and the data of the settings."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.pruning.setting import make_net, mnist
from ofa import SpaceRules, Supernet
from ofa.data import Dataset, hub
from ofa.models import MobileNet, ResNet

IMAGE_SIZE = 16
SHAPE, CLASSES = (3, IMAGE_SIZE, IMAGE_SIZE), 10
TRAIN_IMAGES = 8000


def cifar(path: str) -> Dataset:
    """Returns CIFAR-10 at 16x16 pixels: 8,000 training images, all 10,000 test images."""
    limits = {"limit_train": TRAIN_IMAGES, "limit_validation": 100}
    return hub(path=path, name="cifar10", image_column="img", image_size=IMAGE_SIZE, **limits)


DATA = {"mnist": mnist, "cifar10": cifar}


def make_network(model: str, seed: int) -> nn.Module:
    """Returns a LeNet, "resnet20" or "mobilenet", a subnet of MobileNet, with weights by the seed."""
    if model.startswith("lenet"):
        return make_net(model, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = ResNet(SHAPE, CLASSES, depth=20) if model == "resnet20" else _mobilenet_subnet()
        return net.to(memory_format=torch.channels_last)


def _mobilenet_subnet() -> nn.Module:
    """The smallest subnet of half widths, a block a stage: about a ninth of the whole network's parameters."""
    whole = MobileNet(SHAPE, CLASSES, least_map=2)
    supernet = Supernet(whole, torch.zeros(1, *SHAPE), SpaceRules(width_ratios=(0.5, 1.0)))
    return supernet.extract(supernet.space.smallest)
