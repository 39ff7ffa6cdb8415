"""Erdős-Rényi, layer-adaptive and budgeted counts, against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa.errors import InvalidInput
from ofa.prune.allocation import budget, er, erk, global_, lamp, per_layer
from ofa.prune.allocation.limits import Limits, limits_of
from ofa.prune.context import Allocation, AllocationContext
from ofa.prune.granularity.pool import Pool
from tests.ofa.prune.allocation_cases import GONE, context_of, sparsities

# -- Erdős-Rényi ------------------------------------------------------------------------------------

LENET = [(20, 1, 5, 5), (50, 20, 5, 5), (500, 800), (10, 500)]


def published_densities(shapes: list[tuple[int, ...]], density: float, kernel: bool) -> list[float]:
    """As the authors' code: layers above density 1 are made dense, one after the other, and the rest rescaled."""
    dense: set[int] = set()
    sizes = [math.prod(shape) for shape in shapes]
    raw = [(sum(s) / math.prod(s)) if kernel else sum(s[:2]) / math.prod(s[:2]) for s in shapes]
    while True:
        budget_left = density * sum(sizes) - sum(sizes[i] for i in dense)
        epsilon = budget_left / sum(raw[i] * sizes[i] for i in range(len(shapes)) if i not in dense)
        above = [i for i in range(len(shapes)) if i not in dense and epsilon * raw[i] > 1]
        if not above:
            return [1.0 if i in dense else epsilon * raw[i] for i in range(len(shapes))]
        dense.add(max(above, key=lambda i: raw[i]))


@pytest.mark.parametrize("sparsity", [0.5, 0.8, 0.9, 0.95, 0.98])
@pytest.mark.parametrize("kernel", [True, False])
def test_erk_has_the_published_densities(sparsity: float, kernel: bool) -> None:
    sizes = [math.prod(shape) for shape in LENET]
    context = context_of([torch.zeros(size) for size in sizes], sparsity, shapes=LENET)
    counts = (erk if kernel else er)(context)
    expected = published_densities(LENET, 1 - sparsity, kernel)
    assert all(abs(count - density * size) <= 1 for count, density, size in zip(counts, expected, sizes, strict=True))
    assert sum(counts) == sum(sizes) - round(sparsity * sum(sizes))


def test_erk_keeps_whole_steps_within_the_total() -> None:
    shapes = [(32, 3, 3, 3), (64, 32, 3, 3), (128, 64, 3, 3)]
    scores = [[0.0] * shape[0] for shape in shapes]
    counts = erk(context_of(scores, 0.4, shapes=shapes, steps=[8] * 3))
    total = 224 - round(0.4 * 224)
    assert all(count % 8 == 0 for count in counts) and total - 8 < sum(counts) <= total


# -- LAMP -------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(0, 10), min_size=1, max_size=10), min_size=1, max_size=4), sparsities)
def test_lamp_ranks_by_its_definition(scores: list[list[float]], sparsity: float) -> None:
    context = context_of(scores, sparsity)
    counts = lamp(context)
    own = []
    for part in scores:
        order = sorted(range(len(part)), key=lambda i: (part[i], -i))  # ascending, so that ties keep the first
        squares = [part[i] ** 2 for i in order]
        lamp_scores = [0.0] * len(part)
        for rank, index in enumerate(order):
            rest = sum(squares[rank:])
            lamp_scores[index] = squares[rank] / rest if rest else 0.0
        own.append(lamp_scores)
    expected = global_(context_of(own, sparsity))
    kept = [sorted(part, reverse=True)[:count] for part, count in zip(own, counts, strict=True)]
    best = [sorted(part, reverse=True)[:count] for part, count in zip(own, expected, strict=True)]
    assert sum(map(sum, kept)) == pytest.approx(sum(map(sum, best)), abs=1e-9)


def test_lamp_by_hand() -> None:
    # Squares 1, 4, 4 and 9, 1: scores 1/9, 4/8, 4/4 and 9/9... ranked 1, 1, 0.5, 1/9, 0.1.
    scores = [[1.0, 2.0, 2.0], [3.0, 1.0]]
    assert [lamp(context_of(scores, 1 - kept / 5)) for kept in (2, 3, 4, 5)] == [[1, 1], [2, 1], [3, 1], [3, 2]]


def test_lamp_does_not_care_for_the_scale_of_a_layer() -> None:
    generator = torch.Generator().manual_seed(0)
    parts = [torch.rand(size, generator=generator, dtype=torch.float64) for size in (50, 200, 30)]
    scaled = [part * scale for part, scale in zip(parts, (1.0, 1024.0, 0.125), strict=True)]
    assert lamp(context_of(parts, 0.8)) == lamp(context_of(scaled, 0.8))


def test_lamp_refuses_negative_scores() -> None:
    with pytest.raises(InvalidInput, match=r"the least of 'layer1.weight' is -0.5"):
        lamp(context_of([[1.0], [GONE, -0.5, 2.0]], 0.5))


# -- budget -----------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 9).map(float), min_size=1, max_size=6), min_size=1, max_size=3),
    sparsities,
    st.data(),
)
def test_budget_is_the_largest_global_set_that_fits(
    scores: list[list[float]], sparsity: float, data: st.DataObject
) -> None:
    steps = [data.draw(st.integers(1, 3)) for _ in scores]
    prices = [data.draw(st.integers(1, 20)) for _ in scores]
    context = context_of(scores, sparsity, steps=steps, prices=prices)
    cost = [context.cost([len(part) for part in scores])["macs"]]
    pieces = sum(map(len, scores))
    ranked = [global_(context_of(scores, 1 - kept / pieces, steps=steps)) for kept in range(pieces + 1)]
    target = cost[0] - sparsity * cost[0] + 1e-9 * cost[0]
    fitting = [counts for counts in ranked if context.cost(counts)["macs"] <= target]
    if fitting:
        assert budget(context) == fitting[-1]
    else:
        with pytest.raises(InvalidInput, match="cannot be reached"):
            budget(context)


def test_budget_removes_a_fraction_or_meets_a_limit() -> None:
    scores = [[float(i) for i in range(100)], [float(i) for i in range(100)]]
    context = context_of(scores, 0.5, prices=[9.0, 1.0])
    assert context.cost(budget(context))["macs"] == pytest.approx(505, abs=10)
    counts = budget(context_of(scores, 0.5, prices=[9.0, 1.0]), limit=310)
    assert counts == [30, 30]
    half_way = context_of(scores, 0.5, prices=[9.0, 1.0], progress=0.5)
    assert budget(half_way, limit=310) == [65, 65]  # 10 + 10 * 65 is half way from 1010 to 310
    assert budget(context_of(scores, 0.5, prices=[9.0, 1.0]), limit=5000) == [100, 100]


def test_budget_is_free_of_rounding() -> None:
    for kept in range(1, 11):
        context = context_of([[float(i) for i in range(100)]], 1 - kept / 10)
        assert budget(context, metric="params") == [10 * kept]


@pytest.mark.parametrize("base", [global_, lamp, erk, per_layer], ids=lambda base: base.__name__)
def test_budget_takes_any_ranking(base: Allocation) -> None:
    generator = torch.Generator().manual_seed(0)
    parts = [torch.rand(size, generator=generator, dtype=torch.float64) for size in (50, 200, 30)]
    context = context_of(parts, 0.6, prices=[3.0, 1.0, 2.0])
    counts = budget(context, base=base)
    target = 0.4 * context.cost([50, 200, 30])["macs"]
    assert target - 15 < context.cost(counts)["macs"] <= target


def test_budget_needs_few_calls() -> None:
    calls = 0

    def counted(context: AllocationContext) -> list[int]:
        nonlocal calls
        calls += 1
        return global_(context)

    generator = torch.Generator().manual_seed(0)
    parts = [torch.rand(size, generator=generator) for size in (100_000, 300_000)]
    budget(context_of(parts, 0.7, prices=[3.0, 1.0]), base=counted)
    assert calls < 25


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metric": "mac"}, "metric='mac' is not known for this model; did you mean macs?"),
        ({"limit": 11.0}, "macs=11 cannot be reached by removing pieces: the least is 12 of 110"),
        ({"limit": float("nan")}, "cannot be reached"),
    ],
)
def test_budgets_that_cannot_be_are_refused(options: dict[str, object], words: str) -> None:
    for progress in (0.1, 1.0):
        with pytest.raises(InvalidInput, match=words):
            budget(context_of([[1.0] * 50, [2.0] * 50], 0.1, progress=progress), **options)  # type: ignore[arg-type]


def test_as_many_pieces_stay_as_their_pool_needs() -> None:
    scores = np.arange(8.0)
    assert limits_of(Pool("a", 8, 8, (8, 1), least=2), scores) == Limits(2, 8, 1)
    assert limits_of(Pool("a", 8, 8, (8, 1), step=4, least=4), scores) == Limits(4, 8, 4)
    assert limits_of(Pool("a", 8, 8, (8, 1), least=2), scores, allow_empty=True) == Limits(0, 8, 1)


def test_layers_without_a_sparsity_of_their_own_share_it_as_another_allocation_says() -> None:
    scores = [[5.0, 1.0, 1.0, 1.0], [9.0, 8.0, 7.0, 6.0], [2.0, 2.0, 3.0, 4.0]]
    context = context_of(scores, 0.5)
    counts = per_layer(context, sparsities={"layer0*": 0.75}, otherwise=global_)
    assert counts == [1, *global_(context_of(scores[1:], 0.5))]
    assert per_layer(context, sparsities={"layer*": 0.25}, otherwise=global_) == [3, 3, 3]
    assert per_layer(context, otherwise=lamp) == lamp(context)


def test_a_cost_is_that_of_all_layers_with_those_of_their_own_sparsity() -> None:
    seen = []

    def asks(context: AllocationContext) -> list[int]:
        seen.append((len(context.pools), context.cost([1, 1])))
        return [1, 1]

    context = context_of([[1.0] * 4, [2.0] * 4, [3.0] * 4], 0.5)
    assert per_layer(context, sparsities={"layer1*": 0.5}, otherwise=asks) == [1, 2, 1]
    assert seen == [(2, context.cost([1, 2, 1]))]
