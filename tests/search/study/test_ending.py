"""When a search ends early: by time that counts each second of work once, by what improves nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.candidates.limits import Limits
from search.candidates.trials import RESUMED, trial_rows
from search.study.ending import SinceImprovement, Worked, reason_to_end
from search.study.study import run_study
from tests.search.study.synthetic_plan import Counting, plan

NOON = datetime(2026, 1, 1, 12)
UP, DOWN = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE


def trial(*values: float, begin: float = 0, end: float = 1, state: TrialState | None = None, **attributes: object):
    made = create_trial(
        values=list(values) or None,
        state=state or (TrialState.COMPLETE if values else TrialState.FAIL),
        user_attrs=attributes,
    )
    made.datetime_start, made.datetime_complete = (NOON + timedelta(seconds=moment) for moment in (begin, end))
    return made


def seconds_worked(*trials: FrozenTrial) -> float:
    worked = Worked()
    for one in trials:
        worked.add(one)
    return worked.seconds


@pytest.mark.parametrize(
    ("spans", "seconds"),
    [
        ([], 0),
        ([(0, 10), (10, 15)], 15),
        ([(0, 10), (3600, 3605)], 15),  # the night between two processes does not count
        ([(0, 10), (5, 12), (6, 8)], 12),  # nor does a second of several workers twice
        ([(6, 8), (5, 12), (0, 10)], 12),
        ([(20, 30), (0, 5), (40, 50), (4, 10), (29, 41)], 40),  # nor where a clock was set back
    ],
)
def test_time_is_that_of_work(spans: list[tuple[float, float]], seconds: float) -> None:
    assert seconds_worked(*(trial(0.5, begin=begin, end=end) for begin, end in spans)) == seconds


def test_a_trial_that_a_kill_cut_off_counts_from_when_it_was_begun_again() -> None:
    again = trial(0.5, begin=10, end=9999, **{RESUMED: (NOON + timedelta(seconds=9990)).isoformat()})
    assert seconds_worked(trial(0.5, begin=0, end=10), again) == 10 + 9


def count(trials: list[FrozenTrial], *directions: StudyDirection, limits: Limits | None = None) -> int:
    since = SinceImprovement(directions, limits or Limits())
    for one in trials:
        since.add(one)
    return since.count


def test_of_one_objective_only_the_best_yet_improves() -> None:
    assert count([trial(value) for value in (0.5, 0.6, 0.6, 0.1)], UP) == 2
    assert count([trial(value) for value in (0.5, 0.6, 0.6, 0.1)], DOWN) == 0
    assert count([], UP) == 0


def test_of_several_a_new_point_of_the_front_improves() -> None:
    points = [(0.5, 3.0), (0.4, 2.0), (0.5, 3.0), (0.45, 2.5)]
    assert [count([trial(*point) for point in points[: length + 1]], UP, DOWN) for length in range(4)] == [0, 0, 1, 0]


def test_each_limit_has_a_best_of_its_own() -> None:
    limits = Limits(({"latency_ms": 1.0}, {"latency_ms": 2.0}))
    large, small = trial(0.9, latency_ms=1.9), trial(0.5, latency_ms=0.9)
    assert count([large, small], UP, limits=limits) == 0
    assert count([large, small, trial(0.6, latency_ms=1.5), trial(0.4, latency_ms=0.5)], UP, limits=limits) == 2


def test_what_failed_counts_and_what_was_refused_does_not() -> None:
    refused = trial(state=TrialState.PRUNED)
    assert count([trial(0.5), trial(), refused, trial()], UP) == 2


def test_reasons_are_in_words() -> None:
    study = optuna.create_study(directions=["maximize"])
    for number, value in enumerate((0.5, 0.4, 0.3)):
        study.add_trial(trial(value, begin=40 * number, end=40 * number + 40))
    ends = lambda minutes, patience: reason_to_end(study, Limits(), minutes, patience)  # noqa: E731
    assert ends(None, None) == ends(2.1, 3) == ""
    assert ends(2, None) == "the 2 minutes of search.minutes were up"
    assert ends(None, 2) == "2 evaluations in a row (search.patience) improved nothing"


def test_a_search_ends_when_nothing_improves_and_resumes_to_the_same_end(tmp_path: Path) -> None:
    evaluate = Counting()
    whole = run_study(plan(evaluate, evaluations=60, patience=4), tmp_path / "whole.log")
    assert whole.stopped == (
        f"ended after {whole.evaluated} of 60 evaluations: 4 evaluations in a row (search.patience) improved nothing"
    )
    assert 4 < whole.evaluated == len(evaluate.asked) < 60
    run_study(plan(evaluations=3, patience=4), tmp_path / "parts.log")
    parts = run_study(plan(evaluations=60, patience=4), tmp_path / "parts.log")
    assert [row.arch for row in trial_rows(parts.study)] == [row.arch for row in trial_rows(whole.study)]
    again = run_study(plan(evaluations=60, patience=4), tmp_path / "parts.log")
    assert again.evaluated_now == 0 and again.stopped == whole.stopped
    longer = run_study(plan(evaluations=60), tmp_path / "parts.log")
    assert longer.evaluated == 60 and longer.stopped == ""


def test_a_search_ends_when_its_time_is_up(tmp_path: Path) -> None:
    result = run_study(plan(evaluations=60, minutes=1e-9), tmp_path / "j.log")
    assert result.evaluated == 1
    assert result.stopped.startswith("ended after 1 of 60 evaluations: the 1e-09 minutes")
