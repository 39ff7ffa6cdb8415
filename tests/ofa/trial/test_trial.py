"""What a trial compares: widths inside blocks with all blocks there, depths with narrow blocks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import ofa

RULES = ofa.SpaceRules(width_ratios=None, multiple_of=1)


class HalvesInside(nn.Module):
    """A residual block that treats the halves of its hidden features differently, in training alone or always."""

    def __init__(self, training_only: bool) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(8, 16), nn.Linear(16, 8)
        self.training_only = training_only

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.enter(x)
        if self.training or not self.training_only:
            half = hidden.shape[-1] // 2
            hidden = torch.cat([hidden[..., :half].sin(), hidden[..., half:].cos()], -1)
        return x + self.leave(hidden)


@pytest.mark.parametrize("training_only", [False, True])
def test_widths_inside_blocks_that_can_be_left_out_are_compared(training_only: bool) -> None:
    blocks = nn.Sequential(*(HalvesInside(training_only) for _ in range(3)))
    supernet = ofa.Supernet(nn.Sequential(nn.Linear(3, 8), blocks, nn.Linear(8, 2)), torch.randn(2, 3), RULES)
    assert {choice.key for choice in supernet.space.choices} == {"depth.1", "width.0"}
    reasons = [supernet.refused[f"width.1.{block}.enter"] for block in range(3)]
    assert all("differs from the zeroed model's" in reason for reason in reasons)
    assert all(reason.startswith("in train mode, ") == training_only for reason in reasons)
