"""What is the same within the noise of a comparison: of the same examples where these are known."""

from __future__ import annotations

import pytest
import torch

from ofa.arch import Arch
from ofa.task import Replicates, Score
from search.subnets.compare import same_within

OWN, OTHER = Arch(width={"stem": 8}), Arch(width={"stem": 16})
ON_TEST = {OWN: Score(0.91, 400, 0.014), OTHER: Score(0.90, 400, 0.015)}


def judged(arch: Arch, drawn: torch.Tensor | None) -> Replicates:
    return Replicates({"accuracy": ON_TEST[arch]}, "accuracy", drawn)


def test_it_is_the_error_of_the_difference_where_both_were_drawn() -> None:
    draws = torch.randn(200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    apart = 0.003 * torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(100)
    found = same_within(OWN, OTHER, ON_TEST, {OWN: judged(OWN, draws + apart), OTHER: judged(OTHER, draws)})
    assert found == pytest.approx(0.003, rel=0.01)


def test_otherwise_it_is_that_of_one_score() -> None:
    one = same_within(OWN, OTHER, ON_TEST, {})
    assert one == pytest.approx(((0.014**2 + 0.015**2) / 2) ** 0.5)
    assert same_within(OWN, OTHER, ON_TEST, {arch: judged(arch, None) for arch in (OWN, OTHER)}) == one
