"""Fidelities in a study: the poor are given up early, the good go on, and nothing is lost over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

from ofa.errors import InvalidInput
from search.candidates.space import Candidate, Evaluation, TuningEpoch
from search.candidates.trials import trial_rows
from search.evaluation.tune import Gate
from search.samplers import random
from search.study.fidelities import RUNG, Fidelities
from search.study.study import run_study
from tests.search.scored import evaluation
from tests.search.study.synthetic_plan import ORACLE, Counting, plan

EPOCHS = 4


class Training:
    """A fine-tuning that comes nearer to the oracle's accuracy with every epoch."""

    def __init__(self) -> None:
        self.epochs: list[int] = []

    def __call__(self, candidate: Candidate, gate: Gate) -> Evaluation:
        best, rows = ORACLE.accuracy(candidate.arch), list[TuningEpoch]()
        self.epochs.append(0)
        for epoch in range(1, EPOCHS + 1):
            self.epochs[-1] = epoch
            rows.append(TuningEpoch(epoch=epoch, value=best - 0.1 / epoch))
            if epoch < EPOCHS and not gate(epoch, best - 0.1 / epoch):
                return evaluation(best - 0.1 / epoch, 0.1, history=tuple(rows), stopped_at=epoch)
        return evaluation(best, 0.1, figures={"bytes": 123.0}, history=tuple(rows))


def searched(tmp_path: Path, fidelities: Fidelities, **changes: Any) -> Any:
    made = plan(Counting(), sampler=random, evaluations=40, fidelities=fidelities, **changes)
    return run_study(made, tmp_path / "j.log")


@pytest.mark.parametrize("objective", ["accuracy", "pareto", ["accuracy", "latency_ms", "bytes"]])
def test_successive_halving_lets_about_half_of_each_rung_go_on(tmp_path: Path, objective: Any) -> None:
    training = Training()
    result = searched(tmp_path, Fidelities(training, rungs=(0, 2), keep=0.5, least=4), objective=objective)
    rows = trial_rows(result.study)
    done, given_up = ([row for row in rows if row.state == state] for state in ("evaluated", "given up"))
    assert result.evaluated == len(done) + len(given_up) == 40
    assert 4 <= len(done) <= 24
    assert len(training.epochs) < 40  # some were given up before any training
    assert {EPOCHS, 2} == set(training.epochs)
    if objective == "accuracy":  # of a front some are of low accuracy and cheap
        means = [sum(ORACLE.accuracy(row.arch) for row in some) / len(some) for some in (done, given_up)]
        assert means[0] > means[1]
    assert all(row.figures["bytes"] == 123.0 and len(row.history) == EPOCHS for row in done)
    assert {row.reason.split(" at ")[0] for row in given_up} == {"given up after 0 epochs", "given up after 2 epochs"}
    again = searched(tmp_path, Fidelities(training, rungs=(0, 2), keep=0.5, least=4), objective=objective)
    assert again.evaluated_now == 0


def test_each_rung_is_written_down(tmp_path: Path) -> None:
    result = searched(tmp_path, Fidelities(Training(), rungs=(0, 2)))
    for trial in result.study.get_trials(states=(optuna.trial.TrialState.COMPLETE,)):
        assert {name for name in trial.user_attrs if name.startswith(RUNG)} == {f"{RUNG}0", f"{RUNG}2"}


def test_optunas_pruners_where_the_metric_is_the_only_objective(tmp_path: Path) -> None:
    pruner = optuna.pruners.MedianPruner(n_startup_trials=5)
    training = Training()
    result = searched(tmp_path, Fidelities(training, rungs=(0,), pruner=pruner), objective="accuracy")
    states = [row.state for row in trial_rows(result.study)]
    assert states.count("given up") >= 5
    assert states.count("evaluated") >= 5
    assert all(trial.intermediate_values for trial in result.study.trials if trial.user_attrs.get("scores"))
    with pytest.raises(InvalidInput, match="Optuna's pruners need one objective"):
        plan(objective="pareto", fidelities=Fidelities(training, pruner=pruner))


def test_a_failed_fine_tuning_is_a_failed_trial(tmp_path: Path) -> None:
    def breaks(candidate: Candidate, gate: Gate) -> Evaluation:
        if int(candidate.digest, 16) % 3 == 0:
            raise RuntimeError("out of memory")
        return Training()(candidate, gate)

    states = [row.state for row in trial_rows(searched(tmp_path, Fidelities(breaks, rungs=())).study)]
    assert states.count("failed") >= 3
    assert states.count("evaluated") >= 3
