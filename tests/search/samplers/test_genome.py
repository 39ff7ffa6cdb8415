"""Genomes: candidates as arrays, changed by the array; settings are not left as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa.arch import Arch
from ofa.space import Space
from search.candidates.space import CandidateSpace
from search.samplers.genome import candidates_of, cross, draw, genomes_of, mutate
from search.samplers.quality_model import pool_of
from tests.search.candidates.test_space import ARCHS, SPACE
from tests.search.synthetic import Oracle, block_space


@given(seed=st.integers(0, 2**32 - 1))
def test_a_genome_stands_for_its_candidate(seed: int) -> None:
    rng = np.random.default_rng(seed)
    some = [SPACE.sample(rng) for _ in range(4)]
    genomes = genomes_of(SPACE, some)
    assert candidates_of(SPACE, np.nan_to_num(genomes)) == some
    for children in (mutate(SPACE, genomes, rng.uniform(0, 1, 4), rng), cross(SPACE, genomes, genomes[::-1], rng)):
        assert not np.isnan(children).any()
        for one in candidates_of(SPACE, children):
            assert one == SPACE.candidate(one.arch, one.values)


def test_every_child_differs_in_a_gene_and_settings_change_at_low_rates_too() -> None:
    rng = np.random.default_rng(0)
    parents = draw(SPACE, 2000, rng)
    changed = mutate(SPACE, parents, np.zeros(2000), rng) != parents
    assert changed.any(axis=1).all()
    of_archs, of_settings = np.split(changed.sum(axis=0) / 2000, [len(ARCHS.choices)])
    assert of_settings.sum() > 0.8  # of the three, at a rate of 0
    assert of_archs.max() < of_settings.min()
    alone = CandidateSpace(ARCHS)
    only = mutate(alone, draw(alone, 500, rng), np.zeros(500), rng)
    assert only.shape == (500, len(ARCHS.choices))


def test_numbers_move_near_by_as_a_rule_and_anywhere_at_times() -> None:
    rng = np.random.default_rng(0)
    parents = np.tile(genomes_of(SPACE, [SPACE.smallest]), (4000, 1))
    parents[:, -1] = 0.05  # the sparsity, on its scale
    moved = mutate(SPACE, parents, np.full(4000, 0.5), rng)[:, -1]
    moved = moved[moved != 0.05]
    assert 0.1 < (moved > 0.5).mean() < 0.25
    assert (moved < 0.35).mean() > 0.6


def test_a_thousand_choices_are_looked_up_once_for_each_of_figures_and_model(monkeypatch: pytest.MonkeyPatch) -> None:
    oracle = Oracle(block_space(stages=80, blocks=6))
    space, encode = oracle.candidates, Space.encode
    rows: list[int] = []
    candidates = candidates_of(space, draw(space, 20, np.random.default_rng(0)))

    def counted(space: Space, archs: Sequence[Arch], inactive: int = 0) -> Any:
        rows.append(len(archs))
        return encode(space, archs, inactive)

    monkeypatch.setattr(Space, "encode", counted)
    figures = oracle.figures([one.arch for one in candidates])
    pool = pool_of(space, candidates, figures)
    assert sum(rows) == 2 * 20
    monkeypatch.undo()
    np.testing.assert_array_equal(pool.blocks[0], space.features(candidates))
    assert len(space.archs.choices) == 1040
