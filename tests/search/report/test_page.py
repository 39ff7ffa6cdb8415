"""The page: everything is in it, nothing is fetched, all text is escaped."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ofa import InvalidInput
from search.paths import RunFolder
from search.report.architecture import comparison_table, silhouette
from search.report.gather import gather
from search.report.page import render
from search.report.pareto_figure import pareto_front
from tests.search.report.example import CHOICES, example

VOID = {"meta", "rect", "br"}


class Structure(HTMLParser):
    """Checks that elements close in order, and collects ids, text and links."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids += [value for name, value in values.items() if name == "id" and value]
        self.links += [value for name, value in values.items() if name in ("src", "href") and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(page: str) -> Structure:
    structure = Structure()
    structure.feed(page)
    return structure


def figures_in(page: str) -> dict[str, dict[str, list[dict[str, object]]]]:
    (payload,) = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', page)
    return dict(json.loads(payload))


@pytest.fixture(scope="module")
def page() -> str:
    return render(example())


def test_page_is_well_formed_and_fetches_nothing(page: str) -> None:
    structure = parsed(page)
    assert structure.open == []
    assert structure.links == []
    assert set(figures_in(page)) == {"s0-pareto", "s0-latency", "training"}
    assert set(figures_in(page)) <= set(structure.ids)


def test_pareto_figure_has_every_trial_once(page: str) -> None:
    traces = {trace.get("name"): trace for trace in figures_in(page)["s0-pareto"]["data"]}
    drawn = sum(len(traces[name]["x"]) for name in ("trials", "over the limit, not evaluated"))  # type: ignore[arg-type]
    assert drawn == len(example().devices[0].trials)
    assert len(traces["chosen, as measured"]["x"]) == 3  # type: ignore[arg-type]
    assert len(traces["largest, as measured"]["x"]) == 1  # type: ignore[arg-type]


def test_front_beats_everything() -> None:
    trials = [trial for trial in example().devices[0].trials if trial.accuracy is not None]
    front = pareto_front(trials)
    for trial in trials:
        assert any(
            (best.accuracy or 0) >= (trial.accuracy or 0) and (best.latency_ms or 0) <= (trial.latency_ms or 0)
            for best in front
        )


def test_all_text_is_escaped() -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    data = example(name=evil)
    device = replace(data.devices[0], name=evil, device=evil, quality=evil, description={evil: evil})
    chosen = tuple(replace(subnet, folder=evil) for subnet in device.chosen)
    trials = tuple(replace(trial, arch={evil: 1}) for trial in device.trials)
    device = replace(device, chosen=chosen, trials=trials)
    choices = tuple(replace(choice, name=evil) for choice in data.choices)
    data = replace(
        data,
        summary={evil: evil},
        choices=choices,
        devices=(device, replace(device)),
        commands=(evil,),
        digests={evil: evil},
        config=evil,
        versions={evil: evil},
    )
    page = render(data)
    structure = parsed(page)
    assert structure.links == []
    assert "<img" not in page.split("</main>")[0]
    for figure in figures_in(page).values():
        for trace in figure["data"]:
            assert "<img" not in str(trace.get("text", ""))


def test_run_that_was_only_trained_has_a_page() -> None:
    page = render(replace(example(), devices=()))
    assert "One supernet, trained" in page
    assert set(figures_in(page)) == {"training"}


def test_silhouette_shows_left_out_layers_as_outlines() -> None:
    picture = silhouette(CHOICES, {"width.stem.conv": 16, "depth.stages.0": 1})
    assert picture.count('class="kept"') == 1
    assert picture.count('class="left-out"') == 6
    assert "stem.conv: 16 of 32" in picture
    assert silhouette((), {}) == ""


def test_comparison_has_a_row_a_choice_and_a_column_a_subnet() -> None:
    table = comparison_table(CHOICES, [("1 ms", {"depth.stages.1": 2}), ("2 ms", {})])
    assert table.count("<tr>") == 1 + len(CHOICES)
    assert table.count("<td>") == 2 * len(CHOICES)
    assert table.count('class="absent"') == 2 * len(CHOICES) - 1


def test_run_without_a_supernet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="holds no trained supernet"):
        gather(RunFolder(tmp_path / "main"))
