"""Resolutions that a model does not accept are refused with the reason, and those that it accepts named."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import ofa
from ofa.errors import InvalidInput


class Net(nn.Module):
    """A network of any resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.second, self.head = nn.Conv2d(8, 8, 3), nn.Linear(8, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images).mean((2, 3)))

    def features(self, images: Tensor) -> Tensor:
        return self.second(self.norm(self.first(images)).relu()).relu()


class Flattened(Net):
    """Its linear layer counts positions."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8 * 14 * 14, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images).flatten(1))


class Dense(Net):
    """One output for each position."""

    def forward(self, images: Tensor) -> Tensor:
        return self.features(images)


class OtherWhereSmall(Net):
    """Small images go a way of their own, in which a width is hard-coded: wrong in subnets, at that size alone."""

    def features(self, images: Tensor) -> Tensor:
        first = self.norm(self.first(images)).relu()
        if images.shape[2] < 12:
            first = torch.cat([first[:, 4:], first[:, :4]], dim=1)
        return self.second(first)


class FailsInTrainMode(Net):
    """An auxiliary output counts positions."""

    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Linear(8 * 14 * 14, 4)

    def forward(self, images: Tensor) -> Tensor:
        value = self.features(images)
        extra = self.extra(value.flatten(1)) if self.training else 0.0
        return self.head(value.mean((2, 3))) + extra


RULES = ofa.SpaceRules(multiple_of=1, resolutions=(8, 12))
REFUSED = {
    Flattened: r"Flattened does not accept 8, 12; with images of 8 pixels it fails: .*mat1 and mat2.*accepts 16$",
    Dense: r"its output has the shape \(2, 8, 6, 6\), not \(2, 8, 14, 14\)",
    OtherWhereSmall: r"does not accept 8; with images of 8 pixels its subnets fail: .*accepts 12, 16$",
    FailsInTrainMode: r"with images of 8 pixels it runs in eval mode alone",
}


@pytest.mark.parametrize("kind", REFUSED, ids=lambda kind: kind.__name__)
def test_models_that_do_not_accept_a_resolution_are_refused(kind: type[Net]) -> None:
    with pytest.raises(InvalidInput, match=REFUSED[kind]):
        ofa.Supernet(kind(), torch.randn(2, 3, 16, 16), RULES)


def test_a_model_that_accepts_them_keeps_all_its_other_choices() -> None:
    images = torch.randn(2, 3, 16, 16)
    plain = ofa.Supernet(Net(), images, ofa.SpaceRules(multiple_of=1))
    elastic = ofa.Supernet(Net(), images, RULES)
    assert elastic.space.size == 3 * plain.space.size
    assert elastic.structure.groups[0].units == plain.structure.groups[0].units == 8


def test_resolution_alone_is_a_space() -> None:
    rules = ofa.SpaceRules(width_ratios=(1.0,), resolutions=(8, 12))
    assert ofa.Supernet(Net(), torch.randn(2, 3, 16, 16), rules).space.size == 3
