"""The best so many, exactly: against a stable sort."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ofa.errors import InvalidInput
from ofa.prune import selection
from ofa.prune.selection import count_best, keep_best

FEW = [-np.inf, -1.0, 0.0, 0.5, 2.0]


def by_sorting(scores: Tensor, count: int) -> Tensor:
    order = torch.sort(scores.reshape(-1), descending=True, stable=True).indices
    kept = torch.zeros(scores.numel(), dtype=torch.bool)
    kept[order[:count]] = True
    return kept.reshape(scores.shape)


@settings(deadline=None)
@given(st.lists(st.sampled_from(FEW) | st.floats(-9, 9), min_size=1, max_size=60), st.data())
def test_keep_best_is_the_head_of_a_stable_sort(values: list[float], data: st.DataObject) -> None:
    scores = torch.tensor(values, dtype=torch.float64)
    count = data.draw(st.integers(0, len(values)))
    assert torch.equal(keep_best(scores, count), by_sorting(scores, count))


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from(FEW), max_size=9), min_size=1, max_size=6), st.data())
def test_counts_of_parts_are_those_of_the_whole(parts: list[list[float]], data: st.DataObject) -> None:
    joined = [value for part in parts for value in part]
    count = data.draw(st.integers(0, len(joined)))
    counts = count_best(np.array(joined, dtype=np.float64), [len(part) for part in parts], count)
    kept = [keep_best(torch.tensor(part), own) for part, own in zip(parts, counts, strict=True)]
    assert torch.equal(torch.cat(kept), by_sorting(torch.tensor(joined), count))


def scores_like(kind: str, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(size, dtype=torch.float64, generator=generator).abs()
    if kind == "mostly gone":
        scores[torch.rand(size, generator=generator) < 0.9] = -torch.inf
    elif kind == "mostly zero":
        scores[torch.rand(size, generator=generator) < 0.6] = 0.0
    elif kind == "all equal":
        scores = torch.ones(size)
    elif kind == "few values":
        scores = torch.randint(5, (size,), generator=generator).float()
    elif kind == "sorted":
        scores = scores.sort().values
    return scores


@pytest.mark.parametrize("kind", ["normal", "mostly gone", "mostly zero", "all equal", "few values", "sorted"])
def test_large_ones_are_exact_whatever_their_distribution(kind: str) -> None:
    scores = scores_like(kind, 5 * selection._SMALL)
    order = torch.sort(scores, descending=True, stable=True).indices
    for share in (1e-5, 0.02, 0.0999, 0.1, 0.4, 0.5, 0.8, 0.9999):
        count = max(1, round(share * scores.numel()))
        expected = torch.zeros(scores.numel(), dtype=torch.bool)
        expected[order[:count]] = True
        assert torch.equal(keep_best(scores, count), expected), (kind, share)


def test_a_sample_that_misses_costs_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "_SMALL", 8)
    monkeypatch.setattr(selection, "_SAMPLE", 8)
    scores = torch.randn(1000, generator=torch.Generator().manual_seed(1))
    for count in range(0, 1001, 7):
        assert torch.equal(keep_best(scores, count), by_sorting(scores, count))


def test_any_shape_and_type_and_memory_layout() -> None:
    scores = torch.arange(12.0).reshape(3, 4)
    assert torch.equal(keep_best(scores.t(), 5), by_sorting(scores.t(), 5))
    assert keep_best(torch.tensor([3, 1, 2]), 2).tolist() == [True, False, True]
    assert keep_best(torch.tensor([1.0, 2.0, 2.0], dtype=torch.bfloat16), 1).tolist() == [False, True, False]
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    assert keep_best(weight, 1).tolist() == [True, False]
    assert keep_best(torch.zeros(0), 0).shape == (0,)


@pytest.mark.parametrize("count", [-1, 4])
def test_counts_out_of_range_are_refused(count: int) -> None:
    with pytest.raises(InvalidInput, match=f"count={count}: 3 scores"):
        keep_best(torch.zeros(3), count)


def test_nan_is_refused() -> None:
    with pytest.raises(InvalidInput, match="2 of 3 scores are NaN"):
        keep_best(torch.tensor([float("nan"), 1.0, float("nan")]), 1)
