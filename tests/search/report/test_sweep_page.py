"""The page and the table of a sweep: complete in itself, spreads right, text escaped."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from search.analysis.side_by_side import spread
from search.app.tables import print_sweep
from search.report.sweep_fronts import fronts_figure
from search.report.sweep_page import (
    TITLES,
    ms_spread,
    render_sweep,
    score_spread,
    seeds_text,
    spread_of_test,
    target_cells,
    target_limit,
    times_spread,
)
from tests.search.report.rendered import figures_in, parsed
from tests.search.report.sweep_example import choice, sweep_example
from tests.search.scored import ACCURACY, score

DATA = sweep_example()


def test_page_is_well_formed_and_fetches_nothing() -> None:
    page = render_sweep(DATA)
    structure = parsed(page)
    assert structure.open == []
    assert structure.links == []
    assert set(figures_in(page)) == {"fronts-0", "fronts-1"}
    assert set(figures_in(page)) <= set(structure.ids)
    assert "laptop-8ms" in page  # which is not finished


def test_a_row_has_mean_and_deviation_over_seeds() -> None:
    name, limit, seeds, metric, validation, test, measured, distinct = target_cells(DATA.targets[0])
    deviation = 100 * np.std([0.9, 0.91, 0.92], ddof=1)
    assert (name, limit, seeds, metric, distinct) == ("laptop-1ms", "≤ 1.00 ms", "0 to 2", "accuracy", "2 of 3")
    assert validation == f"91.00 ± {deviation:.2f} %"
    assert test == "95.00 ± 0.00 %"
    assert measured == "0.910 ± 0.010 ms"


def test_a_row_has_a_cell_for_each_title() -> None:
    cells = dict(zip(TITLES, target_cells(DATA.targets[1]), strict=True))
    assert cells["search"] == "laptop-2ms"
    assert cells["validation"] == "91.00 ± 1.00 %"
    assert cells["different subnets"] == "1 of 3"


def test_settings_make_a_subnet_another_one() -> None:
    first, second = choice(1.0, 0), replace(choice(1.0, 1), settings=(("sparsity", 0.5),))
    assert replace(DATA.targets[0], choices=(first, replace(second, settings=()))).distinct == 1
    assert replace(DATA.targets[0], choices=(first, second)).distinct == 2


def test_a_score_on_test_needs_every_seed() -> None:
    assert target_cells(DATA.targets[1])[5] == "-"
    assert spread_of_test([choice(1.0, 0, test=0.9), choice(1.0, 1, test=None)]) is None
    known = spread_of_test([choice(1.0, 0, test=0.9), choice(1.0, 1, test=0.7)])
    assert known is not None and known.mean == pytest.approx(0.8)


def test_one_seed_has_no_spread() -> None:
    assert target_cells(DATA.targets[2])[2:7] == ("0", "accuracy", "90.00 %", "95.00 %", "3.60 ms")
    alone = render_sweep(replace(DATA, targets=DATA.targets[2:], fronts=DATA.fronts[2:]))
    assert "searched with one seed" in alone


def test_lead_names_where_the_seed_matters_most() -> None:
    page = render_sweep(DATA)
    assert (
        "The seed matters most for 1.00\N{NO-BREAK SPACE}ms on laptop: its 3 subnets differ by up to 2.00 points"
        in page
    )
    agree = tuple(replace(one, validation=score(0.9)) for one in DATA.targets[0].choices)
    other = replace(DATA.targets[0], search="tpe", choices=agree)
    assert "ms on laptop in laptop-1ms: its" in render_sweep(replace(DATA, targets=(*DATA.targets, other)))


def test_lead_says_where_seeds_agree() -> None:
    agree = tuple(replace(one, validation=score(0.1)) for one in DATA.targets[0].choices)  # their mean is not quite 0.1
    page = render_sweep(replace(DATA, targets=(replace(DATA.targets[0], choices=agree),)))
    assert "all seeds found subnets of the same score on validation" in page


def test_limits_that_differ_between_seeds_are_a_range() -> None:
    target = replace(DATA.targets[0], choices=(choice(1.1, 0), choice(1.0, 1)))
    assert target_limit(target) == "≤ 1.00 ms to 1.10 ms"
    assert target_limit(replace(target, choices=(choice(None, 0),))) == "none"
    unordered = (choice(2.0, 0), choice(1.5, 1), choice(1.75, 2))
    assert target_limit(replace(target, choices=unordered)) == "≤ 1.50 ms to 2.00 ms"


def test_seeds_in_a_row_are_a_range() -> None:
    assert seeds_text((0, 1, 2, 3)) == "0 to 3"
    assert seeds_text((0, 1)) == "0, 1"
    assert seeds_text((0, 2, 3)) == "0, 2, 3"


def test_one_value_has_no_spread() -> None:
    assert score_spread(spread([0.9]), ACCURACY) == "90.00 %"
    assert ms_spread(spread([0.0286])) == "0.0286 ms"
    assert score_spread(None, ACCURACY) == ms_spread(None) == score_spread(spread([]), ACCURACY) == "-"


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


def test_every_device_has_its_time() -> None:
    times = [{"latency_ms@phone": 1.0, "latency_ms@slow": 20.0}, {"latency_ms@phone": 1.2, "latency_ms@slow": 20.0}]
    both = [replace(choice(None, seed), times=measured) for seed, measured in enumerate(times)]
    assert times_spread(both) == "1.10 ± 0.14 ms on phone, 20.0 ± 0.0 ms on slow"


def test_figure_has_a_band_where_there_are_seeds() -> None:
    traces = {trace["name"]: trace for trace in fronts_figure(DATA.fronts[:2])["data"] if trace.get("fill") is None}
    areas = [trace for trace in fronts_figure(DATA.fronts[:2])["data"] if trace.get("fill") == "tonexty"]
    assert [area["name"] for area in areas] == ["laptop: range over seeds"]
    mean = traces["laptop: mean front"]
    assert mean["x"] == [0.7, 0.9, 2.0]
    np.testing.assert_allclose(mean["y"], [80.0, 91.0, 91.0])
    assert "tpe: front" in traces
    assert len(traces["laptop: chosen (measured)"]["x"]) == 6


def test_all_text_is_escaped() -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    target = replace(DATA.targets[0], search=evil, devices=(evil,))
    data = replace(sweep_example(evil), targets=(target,), unfinished=(evil,), commands=(evil,), versions={evil: evil})
    data = replace(data, fronts=(replace(DATA.fronts[0], devices=(evil,), kind=evil),))
    page = render_sweep(data)
    assert parsed(page).links == []
    assert "<img" not in page.split("</main>")[0]
    for figure in figures_in(page).values():
        assert all("<img" not in str(trace["name"]) for trace in figure["data"])


def test_table_has_a_line_a_target() -> None:
    stream = io.StringIO()
    print_sweep(DATA, stream)
    lines = stream.getvalue().splitlines()
    assert [line.split()[0] for line in lines[3:6]] == ["laptop-1ms", "laptop-2ms", "phone-4ms"]
    assert len({len(line) for line in lines[1:6]}) == 1
    assert "not finished: laptop-8ms" in lines
