"""Work on a setting tells how far it is, and can be given up between two parts, leaving nothing half done."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

import ofa
from ofa.prune.granularity.positions import WeightUse, find_use
from search.config.compressing import StudioSetting
from search.studio import pacing
from search.studio.judging import score_of
from search.studio.opened import Opened
from search.studio.shaping import Workbench

IMAGES = torch.randn(20, 3, 6, 6, generator=torch.Generator().manual_seed(0))


class GivenUp(Exception):
    """The page asked for something else."""


def net() -> tuple[nn.Module, WeightUse]:
    """A network of 8 * 3 * 9 * 16 = 3,456 multiply-accumulates, and what it uses."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)).eval()
    return network, find_use(network, IMAGES[:2])


def quiet(piece: Mapping[str, Any]) -> None:
    """Hears nothing."""


@pytest.mark.parametrize(("macs", "examples"), [(1.0, 4), (34_560.0, 10), (1e9, 256)])
def test_parts_are_as_large_as_they_are_quick(macs: float, examples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "PART_MACS", macs)
    assert pacing.examples_at_once(*net()) == examples


def test_norms_of_a_small_network_are_those_of_the_library_to_the_bit() -> None:
    network, use = net()
    other = ofa.calibrate(copy.deepcopy(network), IMAGES)
    pieces: list[Mapping[str, Any]] = []
    pacing.measure_norms(network, IMAGES, use, pieces.append)
    assert torch.equal(network[1].running_var, other[1].running_var)  # type: ignore[index, arg-type]
    assert pieces == [{"progress": 0.0, "text": "norm statistics from 0 of 20 examples"}]


def test_norms_that_are_given_up_are_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "PART_MACS", 1.0)
    network, use = net()
    before = copy.deepcopy(network.state_dict())
    shares: list[float] = []

    def tell(piece: Mapping[str, Any]) -> None:
        shares.append(piece["progress"])
        if len(shares) == 3:
            raise GivenUp

    with pytest.raises(GivenUp):
        pacing.measure_norms(network, IMAGES, use, tell)
    assert shares == [0.0, 0.2, 0.4]
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_criterion_tells_of_each_batch() -> None:
    pieces: list[Mapping[str, Any]] = []
    batches = [(IMAGES[:2], torch.zeros(2)), (IMAGES[2:4], torch.ones(2))]
    assert list(pacing.telling(lambda: batches, 2, pieces.append)()) == batches
    assert [piece["text"] for piece in pieces] == [f"criterion measured on {at} of 2 batches" for at in (0, 1)]


def test_a_score_in_small_parts_is_the_score(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    shaped = Workbench(opened).shape(StudioSetting(sparsity=0.5), quiet)
    whole = score_of(shaped, opened, quiet)
    monkeypatch.setattr(pacing, "PART_MACS", 1.0)
    pieces: list[Mapping[str, Any]] = []
    assert score_of(shaped, opened, pieces.append) == whole
    assert len(pieces) > 3 and pieces[1]["text"] == f"scored 4 of {whole.examples:,} examples"
