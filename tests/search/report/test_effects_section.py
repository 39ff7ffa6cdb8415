"""What settings do in the report: figures and sentences from the trials, and nothing where none are searched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from search.analysis.columns import Column
from search.analysis.effects import Difference, Effect
from search.report.data import DeviceResult
from search.report.effects_section import effect_text, effects_section, points_text
from search.report.figures import Figure
from search.report.interaction_section import interaction_section
from search.report.page import render
from search.report.search_section import search_sections
from tests.search.report.analyzed_example import analyzed
from tests.search.report.example import example
from tests.search.report.rendered import rendered
from tests.search.scored import ACCURACY

COLUMN = Column("start", ("fresh", "inherit", "rewind", "odd"), np.repeat([0, 1, 2, 3], [18, 20, 23, 2]))
SEEN = Difference(2, 0, 0.012, 0.004, 0.02)
UNSEEN = Difference(2, 1, 0.0004, -0.006, 0.0068)
EFFECT = Effect(COLUMN, (0, 1, 2), (0.9, 0.911, 0.912), (), (), (UNSEEN, SEEN))


@pytest.fixture(scope="module")
def device() -> DeviceResult:
    return analyzed(80)


def section(device: DeviceResult) -> tuple[str, dict[str, Figure]]:
    assert device.analysis is not None
    sections = [
        section(device.analysis, device.trials, ACCURACY, "s0") for section in (effects_section, interaction_section)
    ]
    return rendered(*sections)


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
    assert "12 more were stopped early" in html


def test_numbers_on_a_logarithmic_scale_are_drawn_so(device: DeviceResult) -> None:
    _, figures = section(device)
    by_type = [figure["layout"]["xaxis"].get("type") for name, figure in figures.items() if "effect" in name]
    assert by_type.count("log") == 1


def test_few_trials_are_drawn_and_not_judged() -> None:
    html, figures = section(analyzed(10))
    assert "are too few to test" in html
    assert html.count("<h3>") == len(figures)
    one, _ = section(analyzed(1))
    assert "Not compared" in one


def test_a_search_without_settings_or_candidates_has_no_effects() -> None:
    assert section(analyzed(0)) == ("", {})
    plain = example().devices[0]
    assert "Effect of each setting" not in rendered(*search_sections(example().choices, plain, "s0", titled=False))[0]


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


def test_a_difference_comes_with_its_interval_and_counts() -> None:
    text = effect_text(EFFECT, ACCURACY)
    assert text == (
        "rewind is 1.2 points above fresh (95 % interval 0.40 to 2.0; 23 and 18 candidates). No clear difference "
        "between rewind and inherit. Tried too rarely to compare: odd (2)."
    )


def test_where_there_is_no_clear_difference_the_text_says_so() -> None:
    text = effect_text(Effect(COLUMN, (1, 2), (0.911, 0.912), (), (), (UNSEEN,)), ACCURACY)
    assert text.startswith(
        "No clear difference: rewind is 0.04 points above inherit (95 % interval \N{MINUS SIGN}0.60 to 0.68; "
    )
    assert text.endswith("Tried too rarely to compare: fresh (18) and odd (2).")
    assert effect_text(Effect(COLUMN, (), not_compared="too few"), ACCURACY) == "Not compared: too few."


def test_points_have_two_digits_or_so() -> None:
    assert [points_text(value, ACCURACY) for value in (0.0123, 0.0028, -0.0051, -1e-6)] == [
        "1.2", "0.28", "\N{MINUS SIGN}0.51", "0.00",
    ]  # fmt: skip
