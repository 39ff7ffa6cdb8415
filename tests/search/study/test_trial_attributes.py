"""What trials carry is looked at where a study is opened, however sound its lines are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

from ofa.errors import InvalidInput
from search.candidates.limits import Limits
from search.candidates.space import Candidate, Evaluation
from search.study.journal import open_journal
from search.study.plan import SearchPlan
from search.study.study import load_study, run_study
from tests.search.scored import ACCURACY, evaluation
from tests.search.synthetic import Oracle, block_space

ORACLE = Oracle(block_space())


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    journal = tmp_path_factory.mktemp("study") / "journal.log"
    run_study(plan(), journal)
    return journal.read_bytes()


def plan() -> SearchPlan:
    return SearchPlan(
        "s", ORACLE.candidates, ORACLE.candidate_figures, evaluated, 4, (ACCURACY,), Limits(({"latency_ms": 1e9},))
    )


def evaluated(candidate: Candidate) -> Evaluation:
    return evaluation(ORACLE.accuracy(candidate.arch), 0.1)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("user", {"arch": "{"}),
        ("user", {"arch": 3}),
        ("user", {"scores": {"accuracy": {"value": 1.5}}}),
        ("user", {"scores": {"accuracy": {"value": "high", "examples": 1}}}),
        ("user", {"latency_ms": {}}),
        ("user", {"latency_ms": -1.0}),
        ("user", {"macs": float("inf")}),
        ("user", {"settings": [1]}),
        ("user", {"settings": {"train.epochs": None}}),
        ("user", {"history": 4}),
        ("user", {"seconds": float("nan")}),
        ("system", {"constraints": "none"}),
        ("system", {"fixed_params": 1}),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, lines: bytes, kind: str, change: dict[str, Any]) -> None:
    journal = tmp_path / "journal.log"
    journal.write_bytes(lines)
    storage = open_journal(journal)  # as one who knows the checksums would write it
    trial = optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL)
    (study,) = storage.get_all_studies()
    template = optuna.trial.FrozenTrial(**{**_fields(trial), f"{kind}_attrs": change})
    storage.create_new_trial(study._study_id, template)
    for opening in (lambda: load_study(journal, "s"), lambda: run_study(plan(), journal)):
        with pytest.raises(InvalidInput, match=r"trial \d+ is damaged or was edited \(.*search under another name"):
            opening()


def _fields(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    names = ("number", "state", "datetime_start", "datetime_complete", "params", "distributions", "user_attrs")
    return {
        **{name: getattr(trial, name) for name in names},
        "system_attrs": {},
        "intermediate_values": {},
        "value": None,
        "trial_id": 0,
    }


def test_what_a_search_wrote_is_sound(tmp_path: Path, lines: bytes) -> None:
    (tmp_path / "journal.log").write_bytes(lines)
    assert len(load_study(tmp_path / "journal.log", "s").trials) >= 4
