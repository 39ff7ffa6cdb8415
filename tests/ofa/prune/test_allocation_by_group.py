"""Groups of layers with a sparsity each: exact counts, the last group counts, and what is no group is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa.errors import InvalidInput
from ofa.prune.allocation import by_group, per_layer
from tests.ofa.prune.allocation_cases import context_of, pools_of_scores, sparsities

SCORES = [[float(number) for number in range(size)] for size in (10, 40, 7)]


@given(st.lists(sparsities, min_size=3, max_size=3), sparsities)
def test_each_layer_has_the_sparsity_of_its_group(found: list[float], elsewhere: float) -> None:
    first, second, third = found
    groups = {
        "early": {"match": ["layer0", "layer1.weight"], "sparsity": first},
        "late": {"match": "layer1", "sparsity": second},  # the last that names a layer counts
        "none": {"match": ["head*"], "sparsity": third},
    }
    counts = by_group(context_of(SCORES, elsewhere), groups=groups, allow_missing=True)
    wanted = [max(1, len(one) - round(s * len(one))) for one, s in zip(SCORES, (first, second, elsewhere), strict=True)]
    assert counts == wanted


@given(pools_of_scores, sparsities)
def test_without_groups_it_is_uniform(scores: list[list[float]], sparsity: float) -> None:
    assert by_group(context_of(scores, sparsity), groups={}) == per_layer(context_of(scores, sparsity))


def test_a_gradual_schedule_reaches_them_in_proportion() -> None:
    groups = {"first": {"match": ["layer0"], "sparsity": 0.8}}
    assert by_group(context_of(SCORES, 0.45, progress=0.5), groups=groups)[0] == 6
    assert by_group(context_of(SCORES, 0.9, progress=1.0), groups=groups)[0] == 2


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([], "must be groups by name"),
        ({"a": 0.5}, "must have match and sparsity"),
        ({"a": {"match": ["layer0"]}}, "must have match and sparsity"),
        ({"a": {"match": ["layer0"], "sparsity": 0.5, "rate": 1}}, r"groups.a.rate is unknown"),
        ({"a": {"match": [], "sparsity": 0.5}}, "must be patterns of layers"),
        ({"a": {"match": ["layer0"], "sparsity": 1.5}}, "sparsity=1.5 is the fraction removed"),
        ({"a": {"match": ["layer9"], "sparsity": 0.5}}, "'layer9' names nothing that is pruned; did you mean layer"),
    ],
)
def test_what_is_no_group_is_refused(groups: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        by_group(context_of(SCORES, 0.5), groups=groups)
