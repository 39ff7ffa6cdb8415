"""Pages of profiles whose runs are not of one example: axes, notes and cards say what a run is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from search.device.workload import USUAL, Workload
from search.report.latency_section import latency_figure
from search.report.page import render
from search.report.pareto_section import pareto_figure
from search.report.sweep_fronts import fronts_figure
from search.report.sweep_page import render_sweep
from tests.search.report.example import example
from tests.search.report.rendered import parsed
from tests.search.report.sweep_example import sweep_example

BATCH, TOKEN = Workload(batch=32), Workload(sequence=128, decode=True)


def title(figure: dict[str, Any], axis: str = "xaxis") -> str:
    return str(figure["layout"][axis]["title"]["text"])


def test_axes_say_what_a_run_is() -> None:
    (device,) = example().devices
    assert title(pareto_figure(device)) == "latency, ms (batch 1)"
    assert title(pareto_figure(replace(device, workload=BATCH))) == "latency, ms per batch of 32"
    assert title(pareto_figure(replace(device, workload=TOKEN))) == "latency, ms per token after 128"
    figure = latency_figure(device.anchors, device.chosen, BATCH)
    assert (title(figure), title(figure, "yaxis")) == (
        "measured, ms per batch of 32",
        "predicted, ms per batch of 32",
    )
    assert title(latency_figure(device.anchors, device.chosen)) == "measured, ms"


def test_the_page_says_how_often_a_second() -> None:
    data = example()
    device = replace(data.devices[0], workload=BATCH)
    page = render(replace(data, devices=(device,))).replace("\N{NO-BREAK SPACE}", " ")
    assert parsed(page).open == []
    measured = device.chosen[0].measured_ms
    assert measured is not None
    assert f"<dt>rate</dt><dd>{BATCH.rate_text(measured)}</dd>" in page
    assert "measured in ms per batch of 32" in page
    assert "batch size 1" not in page and "(batch 1)" not in page
    assert "<dt>rate</dt>" not in render(data)


def test_a_search_that_ended_early_says_why() -> None:
    data = example()
    device = replace(data.devices[0], ended="4 evaluations in a row (search.patience) improved nothing")
    page = render(replace(data, devices=(device,))).replace("\N{NO-BREAK SPACE}", " ")
    assert "The search ended early: 4 evaluations in a row (search.patience) improved nothing." in page
    assert "ended early" not in render(data)


def test_sweeps_say_what_a_run_is() -> None:
    data = sweep_example()
    fronts = tuple(replace(one, workload=BATCH) for one in data.fronts)
    assert title(fronts_figure(fronts[:2])) == "latency, ms per batch of 32"
    page = render_sweep(replace(data, fronts=fronts)).replace("\N{NO-BREAK SPACE}", " ")
    assert "measured in ms per batch of 32" in page and "batch size 1" not in page
    assert "measured at batch size 1" in render_sweep(data).replace("\N{NO-BREAK SPACE}", " ")


def test_a_workload_in_words() -> None:
    assert (USUAL.axis, USUAL.manner) == ("ms (batch 1)", "at batch size 1")
    assert (TOKEN.axis, TOKEN.manner) == ("ms per token after 128", "in ms per token after 128")
