"""Initializers and the models that they are tried on."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from ofa.models import LeNet5, LeNet300, MobileNet, ResNet
from ofa.prune.initializers import Initializer, data_dependent_, kaiming_, lsuv_, orthogonal_, xavier_
from tests.ofa import zoo


def users_own_(model: nn.Module, images: Tensor, generator: torch.Generator) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=generator, dtype=torch.float64))


INITIALIZERS: dict[str, Initializer] = {
    "kaiming": kaiming_,
    "kaiming_uniform": partial(kaiming_, mode="fan_out", distribution="uniform"),
    "xavier": xavier_,
    "xavier_uniform": partial(xavier_, distribution="uniform"),
    "orthogonal": orthogonal_,
    "lsuv": lsuv_,
    "random": data_dependent_,
    "pca": partial(data_dependent_, method="pca", vectors=200),
    "kmeans": partial(data_dependent_, method="kmeans", vectors=200),
    "users_own": users_own_,
}
SHAPE = (3, 8, 8)
MODELS: dict[str, Callable[[], nn.Module]] = {
    "lenet300": lambda: LeNet300(SHAPE, 5, hidden=(30, 10)),
    "lenet5": lambda: LeNet5(SHAPE, 5, hidden=(20, 12)),
    "lenet5_norm": lambda: LeNet5(SHAPE, 5, hidden=(20, 12), batch_norm=True),
    "resnet": lambda: ResNet(SHAPE, 5, depth=8, widths=(4, 6, 8)),
    "mobilenet": lambda: MobileNet(SHAPE, 5, stem_width=8, stages=[{"width": 8, "blocks": 2}], head_width=16),
    "unet": lambda: zoo.PLAIN["unet"](),
    "sequence": lambda: zoo.PLAIN["sequence"](),
    "shared": lambda: zoo.PLAIN["shared"](),
    "normed_mlp": lambda: zoo.PLAIN["normed_mlp"](),
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    size = 6 if name in zoo.PLAIN else 8
    return MODELS[name](), torch.rand(12, 3, size, size, generator=seeded(1))
