"""Counts are exact, and the pieces those of an independent ranking."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import partial
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa.errors import InvalidInput
from ofa.prune.allocation import budget, er, erk, global_, lamp, per_layer, threshold
from ofa.prune.allocation.limits import Limits, share_out
from ofa.prune.context import AllocationContext
from ofa.prune.selection import keep_best
from tests.ofa.prune.allocation_cases import GONE, context_of, pools_of_scores, sparsities

# Rules that define a total, and so must meet it exactly.
EXACT = {"global_": global_, "lamp": lamp, "erk": erk, "er": er}
ALL = {
    **EXACT,
    "per_layer": per_layer,
    "rates": partial(per_layer, rates={"layer0*": 0.5}),
    "fixed": partial(per_layer, sparsities={"layer0*": 0.25}),
    "threshold": partial(threshold, level=0.5),
}


@settings(deadline=None)
@given(pools_of_scores, sparsities, st.data())
def test_no_allocation_leaves_its_limits(scores: list[list[float]], sparsity: float, data: st.DataObject) -> None:
    steps = [data.draw(st.integers(1, 5)) for _ in scores]
    for name, allocation in ALL.items():
        context = context_of(scores, sparsity, steps=steps)
        counts = allocation(context)
        for count, part, step in zip(counts, scores, steps, strict=True):
            alive = sum(value > GONE for value in part)
            assert isinstance(count, int) and min(step, alive) <= count <= alive, name
            assert count % step == 0 or count == len(part) or count == alive < step, name


@settings(deadline=None)
@given(pools_of_scores, sparsities)
def test_totals_are_exact(scores: list[list[float]], sparsity: float) -> None:
    pieces = sum(map(len, scores))
    alive = [sum(value > GONE for value in part) for part in scores]
    for name, allocation in EXACT.items():
        for allow_empty in (False, True):
            counts = allocation(context_of(scores, sparsity), allow_empty=allow_empty)
            least = 0 if allow_empty else sum(count > 0 for count in alive)
            assert sum(counts) == min(max(pieces - round(sparsity * pieces), least), sum(alive)), name


@settings(deadline=None)
@given(pools_of_scores, st.floats(0, 1), st.floats(0, 1))
def test_more_sparsity_never_keeps_more(scores: list[list[float]], one: float, other: float) -> None:
    for name, allocation in ALL.items():
        if name in ("erk", "er"):
            continue  # the largest remainder may move a single piece from one pool to another
        dense, sparse = (allocation(context_of(scores, sparsity)) for sparsity in sorted((one, other)))
        assert all(more >= less for more, less in zip(dense, sparse, strict=True)), name


# -- global_ ---------------------------------------------------------------------------------------


@settings(deadline=None)
@given(pools_of_scores, sparsities)
def test_global_keeps_the_head_of_one_stable_ranking(scores: list[list[float]], sparsity: float) -> None:
    context = context_of(scores, sparsity)
    counts = global_(context, allow_empty=True)
    kept = torch.cat([keep_best(part, count) for part, count in zip(context.scores, counts, strict=True)])
    joined = torch.cat(list(context.scores))
    order = torch.sort(joined, descending=True, stable=True).indices[: sum(counts)]
    assert sorted(order.tolist()) == torch.nonzero(kept).flatten().tolist()


def test_global_leaves_no_layer_empty_unless_asked() -> None:
    scores = [[9.0, 8.0, 7.0, 6.0], [1.0, 2.0], [0.0, 0.0]]
    assert global_(context_of(scores, 0.5)) == [2, 1, 1]
    assert global_(context_of(scores, 0.5), allow_empty=True) == [4, 0, 0]
    assert global_(context_of(scores, 1.0)) == [1, 1, 1]
    assert global_(context_of(scores, 1.0), allow_empty=True) == [0, 0, 0]


def test_what_is_gone_stays_gone() -> None:
    scores = [[9.0, GONE, GONE, 6.0], [GONE, GONE]]
    assert global_(context_of(scores, 0.0)) == [2, 0]
    assert erk(context_of(scores, 0.0)) == [2, 0]
    assert lamp(context_of(scores, 0.0)) == [2, 0]


def test_global_ranks_whole_steps_by_their_mean() -> None:
    # Steps of two: means 9, 5 and 6, 4.5 and the odd piece 1; a step counts as one thing.
    scores = [[1.0, 10.0, 8.0, 9.0], [4.0, 7.0, 5.0, 5.0, 1.0]]
    steps = [2, 2]
    assert [global_(context_of(scores, 1 - kept / 9, steps=steps)) for kept in (4, 5, 6, 7, 8, 9)] == [
        [2, 2],
        [2, 2],
        [4, 2],
        [4, 2],
        [4, 4],
        [4, 5],
    ]


def test_equal_steps_rank_by_the_order_of_the_pools_whatever_rounding_does() -> None:
    assert global_(context_of([[0.1] * 9, [0.1] * 9], 1 - 12 / 18, steps=[3, 3])) == [9, 3]
    # The mean of three times 0.7 is rounded below 0.7, that of the last two is not; the three still come first.
    assert sum([0.7] * 3) / 3 < 0.7 == sum([0.7] * 2) / 2
    assert global_(context_of([[0.7] * 8], 1 - 5 / 8, steps=[3])) == [3]


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(0, 10), min_size=2, max_size=8), min_size=2, max_size=3), sparsities)
def test_global_steps_of_one_size_have_the_highest_sum(scores: list[list[float]], sparsity: float) -> None:
    scores = [part[: len(part) // 2 * 2] for part in scores]
    found = global_(context_of(scores, sparsity, steps=[2] * len(scores)))

    def worth(counts: Sequence[int]) -> float:
        return sum(sum(sorted(part)[len(part) - count :]) for part, count in zip(scores, counts, strict=True))

    others = product(*(range(2, len(part) + 1, 2) for part in scores))
    assert worth(found) == pytest.approx(max(worth(other) for other in others if sum(other) == sum(found)))


def test_ten_million_pieces_are_quick() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(10_000_000, dtype=torch.float64, generator=generator).abs()
    context = context_of(list(scores.split(2_500_000)), 0.9)
    began = time.process_time()
    counts = global_(context)
    taken = time.process_time() - began
    assert sum(counts) == 1_000_000
    assert taken < 1.5  # about 0.15 s on a free core; the bound leaves room for a slow one


# -- by layer ---------------------------------------------------------------------------------------


def test_uniform_removes_the_same_share_everywhere() -> None:
    assert per_layer(context_of([[0.0] * 10, [5.0] * 101], 0.9)) == [1, 10]
    assert per_layer(context_of([[0.0] * 10, [5.0] * 100], 0.0)) == [10, 100]
    assert per_layer(context_of([[0.0] * 3, [5.0] * 100], 0.9)) == [1, 10]
    assert per_layer(context_of([[0.0] * 3, [5.0] * 100], 0.9), allow_empty=True) == [0, 10]


def test_rates_slow_a_layer_down() -> None:
    scores = [[0.0] * 1000] * 3
    counts = per_layer(context_of(scores, 0.36), rates={"layer1": 0.5, "layer2.weight": 0})
    assert counts == [640, 800, 1000]  # 0.64 ** 0.5 is 0.8


def test_sparsities_are_reached_with_the_schedule() -> None:
    scores = [[0.0] * 100] * 2
    half = per_layer(context_of(scores, 0.45, progress=0.5), sparsities={"layer1": 0.6})
    assert half == [55, 70]
    assert per_layer(context_of(scores, 0.9), sparsities={"layer1": 0.6}) == [10, 40]


def test_the_last_pattern_counts() -> None:
    scores = [[0.0] * 100] * 3
    counts = per_layer(context_of(scores, 0.5), sparsities={"*": 0.9, "layer2": 0.1}, rates={"layer0": 0})
    assert counts == [10, 10, 90]


def test_steps_are_the_nearest_whole_ones() -> None:
    scores = [[0.0] * 20]
    kept = [per_layer(context_of(scores, 1 - count / 20, steps=[8])) for count in range(21)]
    assert [count for (count,) in kept] == [8] * 12 + [16] * 6 + [20] * 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sparsities": {"layr1": 0.5}}, "'layr1' names nothing that is pruned; did you mean layer1.weight"),
        ({"rates": {"conv*": 0.5}}, r"'conv\*' names nothing"),
        ({"sparsities": {"*": 1.5}}, r"sparsities\['\*'\]=1.5"),
        ({"rates": {"*": -1}}, r"rates\['\*'\]=-1"),
    ],
)
def test_bad_rules_are_refused(options: dict[str, dict[str, float]], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        per_layer(context_of([[0.0] * 4] * 2, 0.5), **options)


def test_threshold_keeps_what_reaches_the_level() -> None:
    scores = [[0.1, 1.0, 2.0, GONE], [0.1, 0.2, 0.3], [5.0, 6.0]]
    for sparsity in (0.0, 0.5, 1.0):
        assert threshold(context_of(scores, sparsity)) == [2, 1, 2]
    assert threshold(context_of(scores, 0.5), level=0.2, allow_empty=True) == [2, 2, 2]
    assert threshold(context_of(scores, 0.5), allow_empty=True) == [2, 0, 2]


# -- what is given ----------------------------------------------------------------------------------


PLAIN = {**EXACT, "per_layer": per_layer, "threshold": threshold, "budget": budget}


@pytest.mark.parametrize("name", PLAIN)
def test_bad_contexts_are_refused(name: str) -> None:
    good = context_of([[1.0, 2.0]], 0.5)
    for bad, words in [
        (AllocationContext(good.pools, [torch.zeros(3)], 0.5, 1.0, good.cost), "scores of .3. pieces"),
        (AllocationContext(good.pools, [torch.tensor([1.0, math.nan])], 0.5, 1.0, good.cost), "1 of 2 scores are NaN"),
    ]:
        with pytest.raises(InvalidInput, match=words):
            PLAIN[name](bad)
    with pytest.raises(InvalidInput, match=r"sparsity=1.5"):
        global_(context_of([[1.0]], 1.5))
    with pytest.raises(InvalidInput, match="at least one pool"):
        global_(context_of([], 0.5))


def test_the_rest_goes_to_the_largest_remainders() -> None:
    free = [Limits(0, 10)] * 3
    assert share_out([1.2, 2.7, 3.1], free, 7) == [1, 3, 3]
    assert share_out([1.5, 2.5, 3.0], free, 7) == [2, 2, 3]
    assert share_out([3 - 1e-15, 2.0, 2 + 1e-15], free, 7) == [3, 2, 2]
    assert share_out([9.6, 5.4], [Limits(4, 20, 4), Limits(4, 6, 4)], 15) == [8, 6]


def test_limits_round_to_whole_steps() -> None:
    limits = Limits(8, 20, 8)
    assert [limits.nearest(count) for count in (0, 11.9, 12, 17.9, 18, 99)] == [8, 8, 16, 16, 20, 20]
    assert [limits.next_above(count) for count in (8, 16, 20)] == [16, 20, 20]
