"""Latency of subnets with layers in int8 and in float32: a sum of parts, with what it takes between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

import ofa
from ofa._cost import cost_of_parts
from ofa.models import ResNet
from search.device.latency.mixed import MixedLatency, borders

GROUPS = {"stem": ("stem.*",), "rest": ("stages.*", "classifier")}


class Constant:
    """A profile without blocks, that takes as long for every network."""

    def __init__(self, ms: float) -> None:
        self.ms = ms

    def table(self, supernet: ofa.Supernet) -> None:
        return None

    def predict_archs(self, supernet: ofa.Supernet, archs: Sequence[ofa.Arch]) -> np.ndarray[Any, Any]:
        return np.full(len(archs), self.ms)


def test_ends_are_the_profiles_own_and_parts_are_shares_of_macs() -> None:
    supernet = ofa.Supernet(ResNet((1, 8, 8), 4, depth=8, widths=(8, 8, 16)).eval(), torch.randn(2, 1, 8, 8))
    usual: Any = Constant(8.0)
    quick: Any = Constant(2.0)
    mixed = MixedLatency(supernet, usual, quick, GROUPS)
    archs = [supernet.space.largest] * 3
    none, stem, every = mixed.predict(archs, [(), ("stem",), ("stem", "rest")])
    assert (none, every) == (pytest.approx(8.0), pytest.approx(2.0))
    share = cost_of_parts(supernet, archs[:1], [["stem"], [""]])["macs"][:, 0]
    assert stem == pytest.approx(8.0 - 6.0 * share[0] / share.sum())


def test_borders_are_changes_from_a_block_to_the_next_that_is_there() -> None:
    in_int8 = np.array([[0, 1, 1], [1, 0, 1], [0, 1, 1]], dtype=bool)
    present = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=bool)
    assert borders(in_int8, present).tolist() == [2, 0, 0]
