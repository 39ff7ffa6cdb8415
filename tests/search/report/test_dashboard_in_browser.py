"""What a person sees of the dashboard, in a real browser: compared by texts and drawn images, never by pixels."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.candidates.limits import Limits
from search.candidates.search_files import TrialRow
from search.candidates.space import TuningEpoch
from search.candidates.trials import trial_rows
from search.report.dashboard import address, make_dashboard
from search.report.trial_files import trial_files
from search.samplers import random
from search.study.plan import SearchPlan
from search.study.study import run_study
from tests.browser import Page, find_browser, open_page
from tests.search.scored import ACCURACY, evaluation
from tests.search.synthetic import Oracle, block_space

pytest.importorskip("optuna_dashboard")
BROWSER = find_browser()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed: apt-get install chromium-headless-shell"),
]

ORACLE = Oracle(block_space(stages=2, blocks=3))
LIMIT = float(ORACLE.figures([ORACLE.space.largest])["latency_ms"][0]) * 0.55
HISTORY = (TuningEpoch(epoch=1, loss=0.8, value=0.7), TuningEpoch(epoch=2, loss=0.5, value=0.8))
DRAWN = "(picture => picture && picture.complete && picture.naturalWidth > 0)(document.querySelector({selector!r}))"


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[TrialRow]]:
    journal = tmp_path_factory.mktemp("study") / "journal.log"
    plan = SearchPlan(
        "digits",
        ORACLE.candidates,
        ORACLE.candidate_figures,
        lambda candidate: evaluation(ORACLE.accuracy(candidate.arch), 0.0, history=HISTORY),
        24,
        (ACCURACY,),
        Limits(({"latency_ms": LIMIT},)),
        sampler=random,
        command=lambda number: f"ofa extract trial={number}",
        artifacts=journal.parent / "artifacts",
        trial_files=trial_files,
    )
    return journal, trial_rows(run_study(plan, journal).study)


@pytest.fixture(scope="module")
def url(rows: tuple[Path, list[TrialRow]]) -> Iterator[str]:
    server = make_dashboard(rows[0], port=0, artifacts=rows[0].parent / "artifacts")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield address(server)
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    assert BROWSER is not None
    with open_page(BROWSER, tmp_path / "profile") as page:
        yield page
        assert not page.errors


def test_the_study_is_drawn_with_its_front_its_limit_and_what_is_important(page: Page, url: str) -> None:
    page.open(f"{url}studies/0")
    for text in ("Pareto Front", "accuracy", "latency_ms", "Hyperparameter Importance", "What decides the accuracy"):
        page.wait_for_text(text)
    page.wait_for_text("accuracy over predicted latency, limits dashed")
    assert page.wait("document.querySelectorAll('.shapelayer path').length > 0"), "the limit"
    importance = "[...document.querySelectorAll('.js-plotly-plot')].filter(plot => plot.data[0].type === 'bar')"
    page.wait(f"{importance}.length >= 2")  # the dashboard's own and ours
    bars = page.value(f"{importance}.map(plot => plot.querySelectorAll('.barlayer .point').length)")
    assert min(bars) > 1
    assert "depth.stages.0" in page.text()


def test_an_evaluated_trial_shows_its_picture_its_curve_and_the_command(
    page: Page, url: str, rows: tuple[Path, list[TrialRow]]
) -> None:
    trial = next(row for row in rows[1] if row.state == "evaluated")
    page.look(1440)
    page.open(f"{url}studies/0/trials?numbers={trial.number}")
    page.wait_for_text(f"Trial {trial.number} (trial_id={trial.number})")
    page.wait_for_text(f"ofa extract trial={trial.number}")
    for name in ("arch.json", "curve.csv"):
        page.wait_for_text(name)
    for selector in ('img[alt="arch.svg"]', 'img[alt="curve.svg"]', 'img[alt^="the layers of this subnet"]'):
        page.wait(DRAWN.format(selector=selector))
    assert page.value("document.documentElement.scrollWidth <= innerWidth"), "an Arch goes on in a second line"


def test_a_trial_over_the_limit_says_so_and_is_no_best_trial(
    page: Page, url: str, rows: tuple[Path, list[TrialRow]]
) -> None:
    trial = next(row for row in rows[1] if row.state == "infeasible")
    page.open(f"{url}studies/0/trials?numbers={trial.number}")
    page.wait_for_text(f"Trial {trial.number} (trial_id={trial.number})")
    page.wait_for_text("infeasible, not evaluated: latency_ms")
    shown = page.text().split(f"Trial {trial.number} (trial_id={trial.number})")[1]
    assert "Best Trial" not in shown
    assert "Pruned" in shown


def test_the_analytics_are_drawn(page: Page, url: str) -> None:
    page.open(f"{url}studies/0/analytics")
    page.wait_for_text("Hyperparameter Relationships")
    page.wait("document.querySelectorAll('.js-plotly-plot .main-svg').length > 3")
    assert "depth.stages.0" in page.text()
