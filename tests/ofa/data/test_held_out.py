"""What is held out: whole groups, every example once, no part empty, as a function of names and seed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa.data.held_out import by_group, held_out
from ofa.errors import InvalidInput

PARTS = ("validation", "test", "train")


@st.composite
def cuts(draw: st.DrawFn) -> tuple[list[Any], dict[str, float]]:
    """Groups of examples, at least four of them, and two fractions that leave something to train on."""
    kinds = draw(st.lists(st.integers() | st.text(max_size=3), min_size=4, max_size=12, unique_by=repr))
    groups = [*kinds, *draw(st.lists(st.sampled_from(kinds), max_size=60))]
    shares = draw(st.tuples(*[st.floats(0.01, 0.45)] * 2))
    return draw(st.permutations(groups)), {"validation": shares[0], "test": shares[1]}


@settings(max_examples=100, deadline=None)
@given(cuts(), st.integers(0, 2**31))
def test_no_group_is_in_two_parts_and_no_example_is_lost(cut: tuple[list[Any], dict[str, float]], seed: int) -> None:
    groups, fractions = cut
    parts = by_group(groups, fractions, seed=seed, count=len(groups))
    assert sorted(torch.cat([parts[name] for name in PARTS]).tolist()) == list(range(len(groups)))
    assert all(len(parts[name]) for name in PARTS)
    found = [{repr(groups[row]) for row in parts[name].tolist()} for name in PARTS]
    assert sum(map(len, found)) == len(set.union(*found))
    again = by_group(groups, fractions, seed=seed, count=len(groups))
    assert all(torch.equal(parts[name], again[name]) for name in PARTS)


@settings(max_examples=50, deadline=None)
@given(st.integers(3, 200), st.floats(0.01, 0.45), st.floats(0.01, 0.45), st.integers(0, 2**31))
def test_examples_are_cut_to_the_nearest_share(count: int, one: float, two: float, seed: int) -> None:
    parts = held_out(count, {"validation": one, "test": two}, seed=seed)
    assert sorted(torch.cat([parts[name] for name in PARTS]).tolist()) == list(range(count))
    for name, share in (("validation", one), ("test", two)):
        assert len(parts[name]) >= 1 and abs(len(parts[name]) - share * count) <= 1.5


def test_shares_are_met_as_nearly_as_groups_allow() -> None:
    groups = [number // 10 for number in range(1000)]
    parts = by_group(groups, {"validation": 0.2, "test": 0.1}, seed=0, count=1000)
    assert [len(parts[name]) for name in PARTS] == [200, 100, 700]
    other = by_group(groups, {"validation": 0.2, "test": 0.1}, seed=1, count=1000)
    assert not torch.equal(parts["test"], other["test"])


def test_groups_that_do_not_fit_are_refused() -> None:
    shares = {"validation": 0.2, "test": 0.2}
    for groups, said in (
        (["a", "b"] * 5, "groups has 2 different values"),
        (["a", None, "b", "c"], "groups: row 1 has none"),
        (["a"], "1 groups for 4 examples"),
    ):
        with pytest.raises(InvalidInput, match=said):
            by_group(groups, shares, seed=0, count=len(groups) if len(groups) > 1 else 4)
    with pytest.raises(InvalidInput, match="2 examples are too few for validation, test and train"):
        held_out(2, shares, seed=0)
