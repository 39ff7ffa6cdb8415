"""Large images are tried as small ones where the model does the same on them, with the same answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import ofa
from ofa.trial import smaller

RULES = ofa.SpaceRules(width_ratios=None, multiple_of=1)
PIXELS = 96


class Net(nn.Module):
    """Two convolutions of any images, which notes how high they were."""

    seen: list[int] = []  # noqa: RUF012

    def __init__(
        self, change: Callable[[Tensor, Tensor], Tensor] = lambda hidden, images: hidden, channels: int = 8
    ) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, channels, 3, 2), nn.BatchNorm2d(channels)
        self.second, self.head, self.change = nn.Conv2d(channels, 6, 3, 2), nn.Linear(6, 4), change

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images.shape[2])
        hidden = self.change(self.norm(self.first(images)).relu(), images)
        return self.head(self.second(hidden).relu().mean((2, 3)))


def _other_op(hidden: Tensor, images: Tensor) -> Tensor:
    return hidden.sin() if images.shape[2] > 80 else hidden


def _other_labels(hidden: Tensor, images: Tensor) -> Tensor:
    """Of large images the first and the last channel swap."""
    order = list(range(hidden.shape[1]))
    if images.shape[2] > 80:
        order = [*reversed(order)]
    return hidden[:, order]


def _heights(change: Callable[[Tensor, Tensor], Tensor]) -> list[int]:
    Net.seen.clear()
    ofa.Supernet(Net(change).eval(), torch.randn(1, 3, PIXELS, PIXELS), RULES)
    return list(Net.seen)


def test_most_trials_see_small_images() -> None:
    heights = _heights(lambda hidden, images: hidden)
    assert heights.count(64) > 3 * heights.count(PIXELS)


@pytest.mark.parametrize("change", [_other_op, _other_labels])
def test_where_other_things_happen_on_small_images_all_trials_see_large_ones(
    change: Callable[[Tensor, Tensor], Tensor],
) -> None:
    heights = _heights(change)
    assert heights.count(64) <= 5 < heights.count(PIXELS)


@pytest.mark.parametrize("channels", [8, 2])
def test_what_is_wrong_on_large_images_alone_is_refused(channels: int) -> None:
    def change(hidden: Tensor, images: Tensor) -> Tensor:
        return hidden * (2 if images.shape[2] > 80 and hidden.shape[1] < channels else 1)

    supernet = ofa.Supernet(Net(change, channels).eval(), torch.randn(1, 3, PIXELS, PIXELS), RULES)
    assert "differs from the zeroed model" in supernet.refused["width.first"]
    assert [group.name for group in supernet.groups] == ["second"]


def test_answers_are_those_of_trials_on_large_images(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer() -> str:
        torch.manual_seed(0)
        net = nn.Sequential(Net(), nn.Linear(4, 16), nn.GELU(), nn.Linear(16, 3))
        supernet = ofa.Supernet(net.eval(), torch.randn(1, 3, PIXELS, PIXELS), RULES)
        return f"{supernet.report()} {supernet.space.choices} {supernet.unsortable} {supernet.structure.fixed}"

    short = answer()
    monkeypatch.setattr(smaller, "_HEIGHTS", ())
    assert answer() == short
