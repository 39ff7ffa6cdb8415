"""The page and the table of a sweep: complete in itself, spreads right, text escaped."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np

from search.app.sweep_table import print_sweep
from search.report.sweep_figure import fronts_figure
from search.report.sweep_page import render_sweep
from search.report.sweep_text import percent_spread, seeds_text, target_cells, target_limit
from search.spread import spread
from tests.search.report.sweep_example import choice, sweep_example
from tests.search.report.test_page import figures_in, parsed

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
    name, limit, seeds, validation, test, measured, distinct = target_cells(DATA.targets[0])
    deviation = 100 * np.std([0.9, 0.91, 0.92], ddof=1)
    assert (name, limit, seeds, distinct) == ("laptop-1ms", "≤ 1.00 ms", "0 to 2", "2 of 3")
    assert validation == f"91.00 ± {deviation:.2f} %"
    assert test == "95.00 ± 0.00 %"
    assert measured == "0.910 ± 0.010 ms"


def test_settings_make_a_subnet_another_one() -> None:
    first, second = choice(1.0, 0), replace(choice(1.0, 1), settings=(("sparsity", 0.5),))
    assert replace(DATA.targets[0], choices=(first, replace(second, settings=()))).distinct == 1
    assert replace(DATA.targets[0], choices=(first, second)).distinct == 2


def test_test_accuracy_needs_every_seed() -> None:
    assert target_cells(DATA.targets[1])[4] == "-"


def test_one_seed_has_no_spread() -> None:
    assert target_cells(DATA.targets[2])[2:6] == ("0", "90.00 %", "95.00 %", "3.60 ms")
    alone = render_sweep(replace(DATA, targets=DATA.targets[2:], fronts=DATA.fronts[2:]))
    assert "searched with one seed" in alone


def test_lead_names_where_the_seed_decides_most() -> None:
    page = render_sweep(DATA)
    assert (
        "The seed decides most for 1.00\N{NO-BREAK SPACE}ms on laptop: from the least to the most accurate of" in page
    )
    agree = tuple(replace(one, validation_accuracy=0.9) for one in DATA.targets[0].choices)
    other = replace(DATA.targets[0], search="tpe", choices=agree)
    assert "ms on laptop in laptop-1ms: from" in render_sweep(replace(DATA, targets=(*DATA.targets, other)))


def test_lead_says_where_seeds_agree() -> None:
    agree = tuple(
        replace(one, validation_accuracy=0.1) for one in DATA.targets[0].choices
    )  # their mean is not quite 0.1
    page = render_sweep(replace(DATA, targets=(replace(DATA.targets[0], choices=agree),)))
    assert "all of its seeds found subnets of the same validation accuracy" in page


def test_limits_that_differ_between_seeds_are_a_range() -> None:
    target = replace(DATA.targets[0], choices=(choice(1.1, 0), choice(1.0, 1)))
    assert target_limit(target) == "≤ 1.00 ms to 1.10 ms"
    assert target_limit(replace(target, choices=(choice(None, 0),))) == "none"


def test_seeds_in_a_row_are_a_range() -> None:
    assert seeds_text((0, 1, 2, 3)) == "0 to 3"
    assert seeds_text((0, 1)) == "0, 1"
    assert seeds_text((0, 2, 3)) == "0, 2, 3"
    assert percent_spread(spread([])) == "-"


def test_figure_has_a_band_where_there_are_seeds() -> None:
    traces = {trace["name"]: trace for trace in fronts_figure(DATA.fronts[:2])["data"] if trace.get("fill") is None}
    areas = [trace for trace in fronts_figure(DATA.fronts[:2])["data"] if trace.get("fill") == "tonexty"]
    assert [area["name"] for area in areas] == ["searches: over seeds"]
    mean = traces["searches: mean front"]
    assert mean["x"] == [0.7, 0.9, 2.0]
    np.testing.assert_allclose(mean["y"], [80.0, 91.0, 91.0])
    assert "tpe: front" in traces
    assert len(traces["searches: chosen, as measured"]["x"]) == 6


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
