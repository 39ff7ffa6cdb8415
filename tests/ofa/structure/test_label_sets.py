"""Sets of labels as arrays: equal to Python's sets."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ofa.structure.label_sets import distinct, missing, packed, unpacked

labels = st.integers(0, 2**31 - 1)
label_lists = st.lists(labels, max_size=12)


@given(st.lists(label_lists, max_size=3))
def test_distinct_labels_are_a_sorted_set(parts: list[list[int]]) -> None:
    found = distinct([torch.tensor(part, dtype=torch.int64) for part in parts])
    assert found.tolist() == sorted(set().union(*parts))


@given(label_lists, label_lists)
def test_missing_labels_are_a_difference_of_sets(values: list[int], known: list[int]) -> None:
    found = missing(np.array(sorted(set(values)), dtype=np.int64), np.array(sorted(set(known)), dtype=np.int64))
    assert found.tolist() == sorted(set(values) - set(known))


@given(st.lists(st.lists(st.tuples(labels, labels), min_size=1, max_size=6), max_size=3))
def test_packed_pairs_are_a_set_in_which_order_does_not_matter(parts: list[list[tuple[int, int]]]) -> None:
    keys = packed([torch.tensor(part, dtype=torch.int64) for part in parts])
    expected = sorted({(min(pair), max(pair)) for part in parts for pair in part})
    assert [tuple(pair) for pair in unpacked(keys).tolist()] == expected
