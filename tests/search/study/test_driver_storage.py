"""What the driver of a study writes, and when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from search.candidates.trials import trial_rows
from search.samplers import evolution, guided, random
from search.study.journal import Journal
from search.study.study import load_study, run_study
from tests.search.study.shared_study import MakePlan


@pytest.mark.parametrize("sampler", [random, evolution, guided])
def test_a_trial_is_two_appends_at_most(sampler: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One claims it and one ends it; a refused one is written at once, its note after it."""
    appends: list[list[int]] = []
    append = Journal.append_logs

    def counted(journal: Journal, logs: list[dict[str, Any]]) -> None:
        appends.append([log["op_code"] for log in logs])
        append(journal, logs)

    run_study(MakePlan(tmp_path, 2, sampler, seconds=0.0)(), tmp_path / "j.log")
    before = len(load_study(tmp_path / "j.log", "s").trials)
    monkeypatch.setattr(Journal, "append_logs", counted)
    result = run_study(MakePlan(tmp_path, 20, sampler, seconds=0.0)(), tmp_path / "j.log")
    trials = len(result.study.trials) - before
    assert trials <= len(appends) <= 2 * trials
    ends = [codes for codes in appends if 6 in codes]
    assert len(ends) == 18
    assert all(codes[-1] == 6 for codes in ends)
    assert trial_rows(load_study(tmp_path / "j.log", "s")) == trial_rows(result.study)


def test_all_trials_are_one_list_that_grows(tmp_path: Path) -> None:
    """A proposal after many trials copies none of them."""
    study = run_study(MakePlan(tmp_path, 2, random, seconds=0.0)(), tmp_path / "j.log").study
    before = study.get_trials(deepcopy=False)
    trial = study.ask()
    assert study.get_trials(deepcopy=False) is before
    assert before[-1].number == trial.number and before[-1].state == TrialState.RUNNING
    assert [one.number for one in study.get_trials(deepcopy=False, states=[TrialState.RUNNING])] == [trial.number]
    assert study.trials is not before
