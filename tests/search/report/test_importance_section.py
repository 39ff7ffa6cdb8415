"""What matters in the report: shown where it means something, else why it is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from search.analysis.analyze import Analysis, Decisive
from search.report.figures import Figure
from search.report.importance_section import importance_bars, importance_section, parts_of
from tests.search.report.example import CHOICES
from tests.search.report.rendered import rendered

MAINS = {"plan": 0.5, "width.stages.0.0.conv1": 0.2, "depth.stages.0": 0.1, "width.stem.conv": 0.05}
FOUND = Decisive(40, 0.62, MAINS, (("plan", "width.stem.conv", 0.04), ("plan", "depth.stages.0", 0.001)))
ANALYSIS = Analysis(40, 3, FOUND)


def section(analysis: Analysis) -> tuple[str, dict[str, Figure]]:
    return rendered(importance_section(analysis, CHOICES, "s0"))


def test_choices_of_a_stage_are_in_one_bar() -> None:
    parts = parts_of(MAINS, CHOICES)
    assert [(part.bar, part.kind) for part in parts] == [
        ("plan", "setting"),
        ("stages.0", "width"),
        ("stages.0", "depth"),
        ("stem", "width"),
    ]
    figure = importance_bars(parts)
    assert figure["layout"]["yaxis"]["ticktext"] == ["plan", "stages.0", "stem"]
    traces = {trace["name"]: trace for trace in figure["data"]}
    assert traces["width"]["x"] == pytest.approx([0, 20, 5])
    assert traces["depth"]["x"] == pytest.approx([0, 10, 0])
    assert traces["depth"]["text"][1] == "depth of stages.0: 10.0 %"


def test_the_section_says_how_far_the_forest_is_to_be_trusted() -> None:
    html, figures = section(ANALYSIS)
    assert set(figures) == {"s0-importance"}
    assert "40 evaluated candidates" in html and "R² = 0.62" in html
    assert "3 more were stopped early, after less training, and left out." in html
    assert html.count("<tr>") == 2  # the head, and the one pair that is worth a row
    assert '<td class="text">width of stem.conv</td>' in html
    few, _ = section(replace(ANALYSIS, decisive=replace(FOUND, pairs=()), given_up=1))
    assert "No two choices explain 1\N{NO-BREAK SPACE}% or more together" in few
    assert "1 more was stopped" in few


@pytest.mark.parametrize(
    ("analysis", "said"),
    [
        (replace(ANALYSIS, decisive=replace(FOUND, held_out=-0.2)), "with R² = -0.20"),
        (replace(ANALYSIS, decisive=None), "All 40 evaluated candidates are equally accurate."),
        (
            replace(ANALYSIS, decisive=None, candidates=10),
            "10 evaluated candidates are too few to tell; at least 20 are needed.",
        ),
        (replace(ANALYSIS, decisive=None, candidates=1), "1 evaluated candidate is too few"),
    ],
)
def test_where_it_means_nothing_that_is_said(analysis: Analysis, said: str) -> None:
    html, figures = section(analysis)
    assert said in html
    assert figures == {}


def test_without_candidates_there_is_nothing() -> None:
    assert section(Analysis(0, 5, None)) == ("", {})


def test_many_bars_are_cut_to_the_largest() -> None:
    mains = {f"setting{number}": 0.05 for number in range(18)}
    html, figures = section(replace(ANALYSIS, decisive=replace(FOUND, mains=mains)))
    assert len(figures["s0-importance"]["layout"]["yaxis"]["tickvals"]) == 14
    assert "the 14 largest of 18 are shown" in html
