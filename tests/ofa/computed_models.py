"""Networks whose layers compute their weights, in every way that torch has, and ways of a user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

import ofa

WRAPPED = ("stem", "depthwise", "body", "fc1", "fc2")
SHAPE = (3, 8, 8)
IMAGES = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(1))
RULES = ofa.SpaceRules(multiple_of=1)


class Rounded(nn.Module):
    """Each output's weights in 16 steps of its largest one."""

    def forward(self, weight: Tensor) -> Tensor:
        step = weight.abs().flatten(1).amax(dim=1).view(-1, *(1,) * (weight.dim() - 1)) / 8
        return (weight / step).round() * step


class Positive(nn.Module):
    """A pointwise function of which zero is no fixed point."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight.exp() / 10


class Centered(nn.Module):
    """Each output's weights without their mean."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight - weight.mean(dim=tuple(range(1, weight.dim())), keepdim=True)


class Symmetric(nn.Module):
    """A symmetric matrix, of the upper half."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight.triu() + weight.triu(1).transpose(-1, -2)


def own(module: Callable[[], nn.Module], layer: nn.Module, name: str = "weight") -> nn.Module:
    """Registers a parametrization of the user's own."""
    return parametrize.register_parametrization(layer, name, module())


def twice(layer: nn.Module) -> nn.Module:
    """Registers one parametrization after another."""
    return own(Centered, own(Positive, layer))


Wrap = Callable[..., Any]
KINDS: Mapping[str, Wrap] = {
    "weight_norm": parametrizations.weight_norm,
    "weight_norm of inputs": partial(parametrizations.weight_norm, dim=1),
    "weight_norm of all": partial(parametrizations.weight_norm, dim=None),
    "spectral_norm": parametrizations.spectral_norm,
    "hook weight_norm": nn.utils.weight_norm,
    "hook spectral_norm": nn.utils.spectral_norm,
    "prune": partial(prune.l1_unstructured, name="weight", amount=0.5),
    "rounded": partial(own, Rounded),
    "positive": partial(own, Positive),
    "centered": partial(own, Centered),
    "two": twice,
}
SPECTRAL = ("spectral_norm", "hook spectral_norm")


class Plain(nn.Module):
    """Convolutions, one depthwise, and linear layers, of any widths."""

    def __init__(self, first: int = 8, second: int = 12, hidden: int = 16) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, first, 3, padding=1)
        self.norm = nn.BatchNorm2d(first)
        self.depthwise = nn.Conv2d(first, first, 3, padding=1, groups=first, bias=False)
        self.body = nn.Conv2d(first, second, 3, stride=2, padding=1)
        self.fc1 = nn.Linear(second, hidden)
        self.fc2 = nn.Linear(hidden, 5)

    def forward(self, images: Tensor) -> Tensor:
        features = self.depthwise(self.norm(self.stem(images)).relu())
        return self.fc2(self.fc1(self.body(features).relu().mean(dim=(2, 3))).relu())


def wrapped(kind: str, *widths: int) -> Plain:
    """Returns a network whose layers compute their weights, with norm statistics that are not those of a fresh one."""
    torch.manual_seed(0)
    net = Plain(*widths)
    for name in WRAPPED:
        KINDS[kind](getattr(net, name))
    with torch.no_grad():
        assert net.norm.running_mean is not None and net.norm.running_var is not None
        net.norm.running_mean.normal_()
        net.norm.running_var.uniform_(0.5, 2)
    return net


@cache
def supernet_of(kind: str) -> ofa.Supernet:
    """Returns the supernet of such a network, made once: nothing may change it."""
    return ofa.Supernet(wrapped(kind).eval(), IMAGES, RULES)
