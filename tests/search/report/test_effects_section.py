"""What settings do in the report: figures and sentences from the trials, and nothing where none are searched."""

from __future__ import annotations

from dataclasses import replace

import pytest

from search.report.data import DeviceResult
from search.report.effects_section import effects_section
from search.report.figures import Figure
from search.report.page import render
from search.report.search_section import search_section
from tests.search.report.analysed_example import analysed
from tests.search.report.example import example


@pytest.fixture(scope="module")
def device() -> DeviceResult:
    return analysed(80)


def section(device: DeviceResult) -> tuple[str, dict[str, Figure]]:
    figures: dict[str, Figure] = {}
    assert device.analysis is not None
    return effects_section(device.analysis, device.trials, "s0", figures), figures


def test_every_setting_has_its_trials_and_its_sentence(device: DeviceResult) -> None:
    html, figures = section(device)
    assert html.count("<h3>") == len(figures) == 5 + 3  # settings, and fresh by filling and inherit
    first = figures["s0-effect-0"]  # what decides most comes first
    assert html.index("<h3>begin</h3>") < html.index("<h3>plan</h3>")
    assert first["layout"]["xaxis"]["ticktext"] == ["fresh", "inherit"]
    points, means = first["data"][0], first["data"][-1]
    assert len(points["x"]) == 80
    assert means["name"] == "adjusted mean" and len(means["x"]) == 2
    assert "inherit is 5." in html or "inherit is 4." in html
    assert "12 more were given up early" in html


def test_numbers_on_a_logarithmic_scale_are_drawn_so(device: DeviceResult) -> None:
    _, figures = section(device)
    by_type = [figure["layout"]["xaxis"].get("type") for name, figure in figures.items() if "effect" in name]
    assert by_type.count("log") == 1


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


def test_few_trials_are_drawn_and_not_judged() -> None:
    html, figures = section(analysed(10))
    assert "are too few to test" in html
    assert html.count("<h3>") == len(figures)
    one, _ = section(analysed(1))
    assert "Not compared" in one


def test_a_search_without_settings_or_candidates_has_no_effects() -> None:
    assert section(analysed(0)) == ("", {})
    plain = example().devices[0]
    assert "What each setting does" not in search_section(example(), plain, "s0", {}, titled=False)


def test_names_and_values_are_escaped(device: DeviceResult) -> None:
    evil = "<img src=x>"
    names = {name: evil + name for name in device.trials[0].settings}
    trials = tuple(
        replace(trial, settings={evil + name: evil if isinstance(value, str) else value
                                 for name, value in trial.settings.items()})
        for trial in device.trials
    )  # fmt: skip
    assert device.analysis is not None and device.analysis.together is not None
    effects = {
        evil + name: replace(
            effect, column=replace(effect.column, name=evil + name, cells=tuple(
                evil if isinstance(cell, str) else cell for cell in effect.column.cells)),
        )
        for name, effect in device.analysis.effects.items()
    }  # fmt: skip
    together = replace(
        device.analysis.together, start=names["begin"], initializer=evil, schedule=names["plan"],
        sparsity=names["how_sparse"],
    )  # fmt: skip
    analysis = replace(device.analysis, effects=effects, together=together)
    page = render(replace(example(), devices=(replace(device, trials=trials, analysis=analysis),)))
    assert "<img" not in page.split("</main>")[0]
    assert "<img" not in page.rsplit('id="figures">')[1].split("</script>")[0].replace("\\u003c", "<")
