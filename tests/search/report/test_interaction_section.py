"""What schedule, starting weights and sparsity do together in the report: figures of trials, and sentences."""

from __future__ import annotations

from dataclasses import replace

import pytest

from search.analysis.together import Interaction, Together
from search.report.data import DeviceResult
from search.report.figures import Figure
from search.report.interaction_section import interaction_section, interaction_texts
from tests.search.report.analyzed_example import analyzed
from tests.search.report.rendered import rendered
from tests.search.scored import ACCURACY

TOGETHER = Together("start", "", "plan", "", (), (Interaction("starting weights", "plan", 80, 0.0004),), ())


@pytest.fixture(scope="module")
def device() -> DeviceResult:
    return analyzed(80)


def section(device: DeviceResult) -> tuple[str, dict[str, Figure]]:
    assert device.analysis is not None
    return rendered(interaction_section(device.analysis, device.trials, ACCURACY, "s0"))


def test_schedule_starting_weights_and_sparsity_are_found_by_what_they_set(device: DeviceResult) -> None:
    html, figures = section(device)
    assert "<h2>Plan, starting weights and how_sparse</h2>" in html
    small = [figures[f"s0-together-{number}"] for number in range(3)]
    assert sum(len(trace["x"]) for figure in small for trace in figure["data"]) == 80
    assert {trace["name"] for figure in small for trace in figure["data"]} == {"cubic", "one_shot"}
    assert len({str(figure["layout"]["yaxis"]) for figure in small}) == 1
    assert all(figure["layout"]["xaxis"]["title"]["text"] == "how_sparse" for figure in small)
    assert "background:var(--accent)" in html


def test_bytes_take_the_place_of_a_sparsity_that_is_not_searched(device: DeviceResult) -> None:
    assert device.analysis is not None and device.analysis.together is not None
    together = replace(device.analysis.together, sparsity="", within=())
    _, figures = section(replace(device, analysis=replace(device.analysis, together=together)))
    assert figures["s0-together-0"]["layout"]["xaxis"]["title"]["text"] == "bytes"
    bare = tuple(replace(trial, bytes=None) for trial in device.trials)
    _, figures = section(replace(device, trials=bare, analysis=replace(device.analysis, together=together)))
    assert not any("together" in name for name in figures)


def test_interactions_are_seen_or_not_and_too_few_say_nothing() -> None:
    (seen,) = interaction_texts(TOGETHER, 80)
    assert seen == "The effect of plan depends on starting weights (p < 0.001, 80 candidates)."
    other = Together("start", "", "plan", "", (), (Interaction("plan", "sparsity", 80, 0.02),), (("plan", "start"),))
    unseen, untold = interaction_texts(other, 80)
    assert unseen.startswith("No evidence that the effect of sparsity depends on plan (p = 0.020")
    assert untold.startswith("Whether the effect of start depends on plan cannot be tested")
    (few,) = interaction_texts(TOGETHER, 10)
    assert few.startswith("10 candidates are too few")
