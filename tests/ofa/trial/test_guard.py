"""Conversions that fail end in one line; widths in units that multiple_of does not fit are whole units."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

import ofa


class Fails(nn.Module):
    """Runs on the full model alone."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(6, 8), nn.Linear(8, 5)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        if x.shape[-1] < 8:
            raise KeyError("weather")
        return self.leave(x)


class FailsLater(nn.Module):
    """Runs twice, and never again."""

    runs: ClassVar[list[int]] = []

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(6, 8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        self.runs.append(1)
        if len(self.runs) > 30:
            raise OSError("the disk is full")
        return self.leave(self.enter(x))


def test_an_error_that_is_not_about_sizes_asks_for_none() -> None:
    with pytest.raises(ofa.InvalidInput, match=r"KeyError: 'weather' at test_guard.py:") as caught:
        ofa.Supernet(Fails(), torch.randn(2, 6))
    assert "hard-coded" not in str(caught.value)


def test_any_error_is_one_line_with_the_users_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FailsLater, "runs", [0] * 29)
    with pytest.raises(ofa.InvalidInput, match=r"OSError: the disk is full at test_guard.py:"):
        ofa.Supernet(FailsLater(), torch.randn(2, 6))


def test_units_that_multiple_of_does_not_fit_are_kept_whole_and_told() -> None:
    net = nn.Sequential(nn.Conv2d(3, 24, 3), nn.GroupNorm(4, 24), nn.ReLU(), nn.Conv2d(24, 5, 1))
    supernet = ofa.Supernet(net, torch.randn(2, 3, 8, 8), ofa.SpaceRules(multiple_of=8))
    assert supernet.space.by_key["width.0"].values == (6, 12, 18, 24)
    assert "in whole units of 6 channels, which multiple_of=8 does not fit" in str(supernet.report())
