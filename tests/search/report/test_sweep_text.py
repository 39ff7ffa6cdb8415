"""Figures over seeds in words."""

from __future__ import annotations

import pytest

from ofa.arch import Arch
from search.figures import LATENCY
from search.report.sweep_data import SweepChoice, SweepTarget
from search.report.sweep_text import (
    TITLES,
    ms_spread,
    percent_spread,
    target_cells,
    target_limit,
    times_spread,
)
from search.report.sweep_text import (
    test_spread as spread_of_test,
)
from search.spread import spread


def choice(seed: int = 0, limit: float | None = 1.0, accuracy: float = 0.9, test: float | None = None) -> SweepChoice:
    limits = {} if limit is None else {LATENCY: limit}
    return SweepChoice("s", seed, limits, Arch(width={"a": 8}), accuracy, test, {LATENCY: 0.5 + seed / 10}, 4)


def target(*choices: SweepChoice) -> SweepTarget:
    return SweepTarget("laptop", ("laptop",), choices)


def test_a_line_has_a_cell_a_title() -> None:
    cells = target_cells(target(choice(0, accuracy=0.90), choice(1, accuracy=0.92)))
    assert dict(zip(TITLES, cells, strict=True)) == {
        "search": "laptop",
        "limit": "≤ 1.00 ms",
        "seeds": "0, 1",
        "validation": "91.00 ± 1.41 %",
        "test accuracy": "-",
        "measured": "0.550 ± 0.071 ms",
        "different subnets": "1 of 2",
    }


def test_one_seed_has_no_spread() -> None:
    assert percent_spread(spread([0.9])) == "90.00 %"
    assert ms_spread(spread([0.0286])) == "0.0286 ms"
    assert percent_spread(None) == ms_spread(None) == "-"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((0.0283, 0.0289), "0.0286 ± 0.0004 ms"),
        ((110.0, 130.0), "120 ± 14 ms"),
        ((1.0, 1.0), "1.00 ± 0.00 ms"),
        ((0.0, 0.0), "0 ± 0 ms"),
    ],
)
def test_a_spread_has_the_digits_of_its_mean(values: tuple[float, float], text: str) -> None:
    assert ms_spread(spread(values)) == text


def test_limits_that_differ_are_a_range_whatever_their_order() -> None:
    assert target_limit(target(choice(0, 2.0), choice(1, 1.5), choice(2, 1.75))) == "≤ 1.50 ms to 2.00 ms"
    assert target_limit(target(choice(0, 2.0), choice(1, 2.0))) == "≤ 2.00 ms"
    assert target_limit(target(choice(0, None), choice(1, None))) == "none"


def test_test_accuracy_is_known_once_every_seed_was_extracted() -> None:
    assert spread_of_test([choice(0, test=0.9), choice(1)]) is None
    found = spread_of_test([choice(0, test=0.9), choice(1, test=0.7)])
    assert found is not None
    assert found.mean == pytest.approx(0.8)


def test_every_device_has_its_time() -> None:
    times = [{"latency_ms@phone": 1.0, "latency_ms@slow": 20.0}, {"latency_ms@phone": 1.2, "latency_ms@slow": 20.0}]
    both = [SweepChoice("s", seed, {}, Arch(), 0.9, None, one, 4) for seed, one in enumerate(times)]
    assert times_spread(both) == "1.10 ± 0.14 ms on phone, 20.0 ± 0.0 ms on slow"
