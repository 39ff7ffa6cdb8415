"""A forward that writes into its inputs is converted like any other, and the example stays as it was."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import ofa


class NormalizesInPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        images.sub_(0.5).div_(2)
        return self.head(self.stem(images).relu()).mean((2, 3))


def test_its_layers_vary_and_the_example_stays() -> None:
    images = torch.randn(2, 3, 8, 8)
    before = images.clone()
    supernet = ofa.Supernet(NormalizesInPlace(), images)
    assert [choice.key for choice in supernet.space.choices] == ["width.stem"]
    ofa.peak_activation_bytes(supernet, [supernet.space.smallest])
    assert torch.equal(images, before)
    with torch.no_grad():
        arch = supernet.space.smallest
        assert torch.equal(supernet.subnet(arch)(images.clone()), supernet.extract(arch)(images.clone()))
