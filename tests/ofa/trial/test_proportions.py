"""Widths that only fit each other in some proportions are not accepted one by one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import ofa


class Halves(nn.Module):
    """Two layers for the two halves of the channels, whatever their number: only like halves can be cut alike."""

    def __init__(self, width: int, others: int) -> None:
        super().__init__()
        self.before = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(others)))
        self.stem = nn.Conv2d(3, width, 1)
        self.left, self.right = nn.Conv2d(width // 2, 5, 1), nn.Conv2d(width // 2, 5, 1)
        self.last = nn.Conv2d(5, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        features = self.stem(self.before(images))
        half = features.shape[1] // 2
        return self.last(self.left(features[:, :half]) + self.right(features[:, half:]))


@pytest.mark.parametrize("width", [4, 6, 8])
@pytest.mark.parametrize("others", [0, 1, 2, 3])
def test_every_proportion_that_is_accepted_runs(width: int, others: int) -> None:
    images = torch.randn(2, 3, 4, 4)
    supernet = ofa.Supernet(Halves(width, others), images, ofa.SpaceRules(width_ratios=None, multiple_of=1))
    halves = [choice for choice in supernet.space.choices if choice.name.startswith("stem")]
    assert len(halves) <= 1
    others_whole = {choice.key: choice.values[-1] for choice in supernet.space.choices}
    for choice in supernet.space.choices:
        for value in choice.values:
            arch = supernet.space.arch({**others_whole, choice.key: value})
            with torch.no_grad():
                torch.testing.assert_close(supernet.subnet(arch)(images), supernet.extract(arch)(images))
