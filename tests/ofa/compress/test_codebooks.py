import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ofa.compress import codebook
from ofa.compress.codebooks import STARTS, nearest_entries
from ofa.errors import InvalidInput

numbers = st.lists(st.integers(-40, 40).map(lambda whole: whole / 8), min_size=1, max_size=40)


def found(values: Tensor, levels: int, start: str, seed: int = 0, importance: Tensor | None = None) -> Tensor:
    return codebook(values, levels, start, torch.Generator().manual_seed(seed), importance)


def error(values: Tensor, entries: Tensor, importance: Tensor | None = None) -> float:
    kept = values != 0
    squares = (values - entries[nearest_entries(values, entries).long()]).square()
    return float((squares * (1 if importance is None else importance))[kept].sum())


def least_error(values: Tensor, levels: int) -> float:
    """By trying every way to cut the sorted values."""
    ordered = np.sort(values[values != 0].numpy())
    cuts = itertools.combinations(range(1, len(ordered)), min(levels, len(ordered)) - 1)
    return min(
        sum(float(((part - part.mean()) ** 2).sum()) for part in np.split(ordered, list(places))) for places in cuts
    )


@settings(max_examples=60, deadline=None)
@given(numbers, st.integers(1, 8), st.integers(0, 99))
def test_exact_is_no_worse_than_any_start(listed: list[float], levels: int, seed: int) -> None:
    values = torch.tensor([*listed, 1.0], dtype=torch.float64)
    importance = torch.rand(len(values), dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 0.01
    for weights in (None, importance):
        errors = {start: error(values, found(values, levels, start, seed, weights), weights) for start in STARTS}
        assert errors["exact"] <= min(errors.values()) + 1e-9, errors


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=9), st.integers(1, 4))
def test_exact_is_the_best_of_all_cuts(listed: list[int], levels: int) -> None:
    values = torch.tensor([*listed, 3], dtype=torch.float64)
    assert error(values, codebook(values, levels, "exact")) == pytest.approx(least_error(values, levels), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(numbers, st.integers(1, 8), st.sampled_from(STARTS), st.randoms(use_true_random=False))
def test_order_and_removed_weights_change_nothing(listed: list[float], levels: int, start: str, shuffler) -> None:  # type: ignore[no-untyped-def]
    values = [*listed, 1.0]
    shuffled = [*values, 0.0, -0.0]
    shuffler.shuffle(shuffled)
    entries = found(torch.tensor(values), levels, start)
    assert torch.equal(entries, found(torch.tensor(shuffled), levels, start))
    assert len(entries) <= levels and torch.equal(entries, entries.unique())
    assert entries.min() >= min(value for value in values if value) and entries.max() <= max(filter(None, values))


@settings(max_examples=40, deadline=None)
@given(numbers, st.integers(0, 5), st.sampled_from(STARTS))
def test_as_many_levels_as_values_are_the_values(listed: list[float], more: int, start: str) -> None:
    values = torch.tensor([*listed, 1.0])
    distinct = values[values != 0].unique()
    assert torch.equal(found(values, len(distinct) + more, start), distinct)


def test_every_entry_of_k_means_is_the_mean_of_its_values() -> None:
    values = torch.randn(2000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for start in STARTS:
        entries = found(values, 16, start)
        assert len(entries) == 16
        nearest = nearest_entries(values, entries).long()
        means = torch.zeros(16, dtype=torch.float64).index_add(0, nearest, values) / torch.bincount(nearest)
        torch.testing.assert_close(entries, means)


def test_levels_are_not_lost_in_a_gap() -> None:
    sides = torch.rand(500, generator=torch.Generator().manual_seed(1)) / 10 + 1
    assert len(codebook(torch.cat([sides, -sides]), 16)) == 16


def test_more_values_than_the_exact_search_takes() -> None:
    values = torch.randn(40_000, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert error(values, codebook(values, 4, "exact")) <= error(values, codebook(values, 4)) * (1 + 1e-6)


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        ([0.0, 0.0], {}, "all are 0"),
        ([1.0, float("nan")], {}, "NaN or infinite"),
        ([1.0, 2.0], {"levels": 0}, "levels=0"),
        ([1.0, 2.0], {"levels": True}, "levels=True"),
        ([1.0, 2.0], {"start": "liner"}, "did you mean linear"),
        ([1.0, 2.0], {"start": "random"}, "give generator="),
        ([1.0, 2.0], {"importance": torch.ones(3)}, "importance of shape"),
        ([1.0, 2.0], {"importance": torch.zeros(2)}, "not all 0"),
    ],
)
def test_refused(values: list[float], options: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        codebook(torch.tensor(values), **{"levels": 1, **options})  # type: ignore[arg-type]
