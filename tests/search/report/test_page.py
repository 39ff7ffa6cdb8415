"""The page: everything is in it, nothing is fetched, all text is escaped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ofa import InvalidInput
from search.report.gather import gather
from search.report.page import render
from search.report.pareto_section import pareto_front
from search.run.paths import RunFolder
from tests.search.report.example import example
from tests.search.report.rendered import figures_in, parsed
from tests.search.scored import ACCURACY


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
    assert len(traces["chosen (measured)"]["x"]) == 3  # type: ignore[arg-type]
    assert len(traces["largest (measured)"]["x"]) == 1  # type: ignore[arg-type]


def test_front_beats_everything() -> None:
    trials = [trial for trial in example().devices[0].trials if trial.score is not None]
    front = pareto_front(trials, ACCURACY)
    for trial in trials:
        assert any(
            best.score.value >= trial.score.value and (best.latency_ms or 0) <= (trial.latency_ms or 0)
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


def test_run_without_a_supernet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="holds no trained supernet"):
        gather(RunFolder(tmp_path / "main"))
