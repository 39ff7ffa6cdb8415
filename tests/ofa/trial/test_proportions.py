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


class Rolled(nn.Module):
    """Rolls its channels: a subnet's are in another order, but for the widths at which a roll changes nothing."""

    def __init__(self, width: int, by: int) -> None:
        super().__init__()
        self.stem, self.last, self.by = nn.Conv2d(3, width, 1), nn.Conv2d(width, 2, 1), by

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.stem(images).roll(self.by, dims=1))


@pytest.mark.parametrize(("width", "by"), [(3, 1), (4, 1), (4, 2), (4, 3), (6, 2), (6, 3), (8, 4), (9, 3)])
def test_an_order_that_is_right_at_half_and_at_one_alone_is_refused(width: int, by: int) -> None:
    with pytest.raises(ofa.InvalidInput, match="nothing in Rolled can vary"):
        ofa.Supernet(Rolled(width, by), torch.randn(2, 3, 4, 4), ofa.SpaceRules(width_ratios=None, multiple_of=1))
