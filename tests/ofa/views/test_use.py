"""Which weights subnets have: those that a gradient through all weights of a view reaches."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import ofa
from ofa.models import MobileNet, ResNet, ViT
from ofa.randomize import randomize_
from ofa.views.use import count_use_

SHAPE = (3, 8, 8)
IMAGES = torch.zeros(2, *SHAPE)


class Tied(nn.Module):
    """One weight at two places."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.between = nn.Linear(192, 16), nn.Linear(16, 16)
        self.last = nn.Linear(16, 16)
        self.last.weight = self.between.weight
        self.head = nn.Linear(16, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.last(self.between(self.first(images.flatten(1)).relu()).relu()))


KERNELS = ofa.SpaceRules(multiple_of=4, kernel_sizes={"*": [1, 3, 5]}, kernel_transforms=True)
SUPERNETS: dict[str, tuple[Callable[[], nn.Module], ofa.SpaceRules]] = {
    "resnet": (lambda: ResNet(SHAPE, 5, depth=14), ofa.SpaceRules()),
    "mobilenet with learned kernels": (lambda: MobileNet(SHAPE, 5), KERNELS),
    "mobilenet with cropped kernels": (
        lambda: MobileNet(SHAPE, 5),
        ofa.SpaceRules(multiple_of=4, kernel_sizes={"*": [1, 3, 5]}),
    ),
    "vit": (lambda: ViT(SHAPE, 5, patch=4), ofa.SpaceRules()),
    "tied": (Tied, ofa.SpaceRules(multiple_of=4)),
}


@cache
def supernet_of(name: str) -> ofa.Supernet:
    torch.manual_seed(0)
    model, rules = SUPERNETS[name]
    supernet = ofa.Supernet(model().eval(), IMAGES, rules)
    randomize_(supernet.model)  # learned kernels are identities, which let most of a gradient cancel
    return supernet


def reached(supernet: ofa.Supernet, arch: ofa.Arch) -> list[Tensor]:
    """Where a view of `arch` has something of each parameter."""
    weights = list(
        {id(tensor): tensor for module in supernet.subnet(arch).modules() for tensor in own(module)}.values()
    )
    total = sum(weight.sum() for weight in weights)
    assert isinstance(total, Tensor)
    found = torch.autograd.grad(total, list(supernet.parameters()), allow_unused=True)
    return [
        torch.zeros_like(parameter) if gradient is None else gradient != 0
        for parameter, gradient in zip(supernet.parameters(), found, strict=True)
    ]


def own(module: nn.Module) -> list[Tensor]:
    return [tensor for tensor in module._parameters.values() if tensor is not None]


@pytest.mark.parametrize("name", SUPERNETS)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_counted_is_what_the_views_have(name: str, seed: int) -> None:
    supernet = supernet_of(name)
    rng = np.random.default_rng(seed)
    archs = [supernet.space.largest, supernet.space.smallest, supernet.space.sample(rng), supernet.space.sample(rng)]
    counts = {id(parameter): torch.zeros_like(parameter, dtype=torch.uint8) for parameter in supernet.parameters()}
    for arch in archs:
        count_use_(supernet.plan(arch), counts)
    expected = [sum(places) for places in zip(*(reached(supernet, arch) for arch in archs), strict=True)]
    for (path, parameter), there in zip(supernet.model.named_parameters(), expected, strict=True):
        assert torch.equal(counts[id(parameter)].float(), torch.as_tensor(there).float()), path


def test_parameters_that_are_not_asked_for_are_passed_over() -> None:
    supernet = supernet_of("resnet")
    weight = supernet.model.get_parameter("stem.conv.weight")
    counts = {id(weight): torch.zeros_like(weight, dtype=torch.uint8)}
    count_use_(supernet.plan(supernet.space.largest), counts)
    assert bool((counts[id(weight)] == 1).all()) and len(counts) == 1
