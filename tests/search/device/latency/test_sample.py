"""Anchors: both ends, distinct, spread over MACs, decided by the seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ofa.arch import Arch
from ofa.choice import Choice
from ofa.errors import InvalidInput
from ofa.space import Space
from search.device.latency.sample import choose_anchors, choose_sample
from tests.search.door.small import supernet

SPACE = Space(tuple(Choice("width", f"layer{i}", (8, 16, 24, 32)) for i in range(20)))


def macs(archs: Sequence[Arch]) -> np.ndarray:
    return np.array([float(np.prod([value / 8 for value in list(arch.width.values())[:10]])) for arch in archs])


def test_both_ends_and_an_even_spread():
    archs = choose_anchors(SPACE, macs, 30, seed=0)
    assert len(set(archs)) == 30
    assert archs[:2] == [SPACE.smallest, SPACE.largest]
    position = np.sort(np.log(macs(archs)))
    assert np.diff(position).max() < 4 * np.diff(position).mean()
    assert all(SPACE.contains(arch) for arch in archs)


def test_uniform_draws_would_not_reach_the_ends():
    generator = np.random.default_rng(0)
    uniform = np.log(macs([SPACE.sample(generator) for _ in range(900)]))
    anchors = np.log(macs(choose_anchors(SPACE, macs, 30, seed=0)[2:]))
    assert anchors.min() < uniform.min()
    assert anchors.max() > uniform.max()


def test_the_seed_decides():
    first, again, other = (choose_anchors(SPACE, macs, 10, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


def test_a_small_space_gives_what_it_has():
    small = Space((Choice("width", "a", (8, 16)), Choice("width", "b", (8, 16))))
    archs = choose_anchors(small, lambda found: np.array([float(sum(a.width.values())) for a in found]), 30, 0)
    assert len(archs) == len(set(archs)) == 4
    only = Space((Choice("width", "a", (8,)),))
    assert choose_anchors(only, lambda found: np.ones(len(found)), 30, 0) == [only.largest]


def test_fewer_than_two_are_refused():
    with pytest.raises(InvalidInput, match="anchors=1"):
        choose_anchors(SPACE, macs, 1, seed=0)


def test_a_space_of_too_few_subnets_is_refused_before_any_is_measured():
    small = supernet(width=1)
    assert small.space.size < 6
    with pytest.raises(InvalidInput, match=f"^{small.space.size:.0f} different subnets are too few .* it takes 6"):
        choose_sample(small, anchors=30, blocks=0, alignment=False, seed=0)
