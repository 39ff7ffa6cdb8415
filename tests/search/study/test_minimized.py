"""Searches by a loss, of which less is better: the same as by its quality, in every part of a study."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from ofa.arch import Arch
from ofa.task import Score
from search.candidates.space import Candidate, Evaluation, TuningEpoch
from search.candidates.trials import trial_rows
from search.evaluation.tune import Gate
from search.samplers import evolution, guided, nsga2, random, tpe
from search.study.fidelities import Fidelities
from search.study.study import load_study, run_study
from search.study.zero_shot import ZeroShot
from tests.search.scored import ACCURACY, LOSS, evaluation, score
from tests.search.study.synthetic_plan import MEDIAN, ORACLE, Counting, plan

METRICS = (LOSS,)


def loss(arch: Arch) -> float:
    """Returns a loss like a perplexity, from some 3 to some thousands: the more accurate, the less."""
    return float(np.exp(40 * (0.9 - ORACLE.accuracy(arch))))


def by_loss(candidate: Candidate) -> Evaluation:
    return evaluation(loss(candidate.arch), 0.001, LOSS)


@pytest.mark.parametrize("sampler", [guided, evolution, tpe, nsga2, random])
@pytest.mark.parametrize("objective", ["pareto", "metric", ["loss", "latency_ms", "params"]])
def test_every_sampler_minimizes(tmp_path: Path, sampler: Any, objective: Any) -> None:
    result = run_study(plan(by_loss, sampler=sampler, objective=objective, metrics=METRICS), tmp_path / "j.log")
    assert result.evaluated == 16
    assert result.study.metric_names[0] == "loss"
    assert {direction.name for direction in result.study.directions} == {"MINIMIZE"}
    for row in trial_rows(result.study):
        if row.state == "evaluated":
            assert row.arch is not None and row.score is not None
            assert row.score.value == loss(row.arch)
            assert result.study.trials[row.number].values[0] == row.score.value


@pytest.mark.parametrize("sampler", [evolution, tpe, nsga2, random])
def test_what_goes_by_ranks_proposes_the_same_as_by_accuracy(tmp_path: Path, sampler: Any) -> None:
    options = {"sampler": sampler, "objective": "metric", "evaluations": 30}
    less = run_study(plan(by_loss, metrics=METRICS, **options), tmp_path / "less.log").study
    more = run_study(plan(Counting(), **options), tmp_path / "more.log").study
    assert [row.arch for row in trial_rows(less)] == [row.arch for row in trial_rows(more)]


@pytest.mark.slow
def test_what_learns_finds_less_loss_than_chance(tmp_path: Path) -> None:
    found = {}
    for name, one in (("learned", guided), ("chance", random)):
        best = []
        for seed in range(3):
            study = run_study(
                plan(by_loss, sampler=one, objective="metric", metrics=METRICS, evaluations=50, seed=seed),
                tmp_path / f"{name}-{seed}.log",
            ).study
            best.append(min(row.score.value for row in trial_rows(study) if row.score is not None))
        found[name] = np.mean(np.log(best))
    assert found["learned"] < found["chance"]


def test_a_metric_that_is_not_a_number_fails_its_trial_alone(tmp_path: Path) -> None:
    def broken(candidate: Candidate) -> Evaluation:
        value = loss(candidate.arch)
        if candidate.arch.digest[0] in "01234567":
            return evaluation(float("nan"), 0.0, LOSS)
        return evaluation(value, 0.0, LOSS)

    rows = trial_rows(run_study(plan(broken, metrics=METRICS), tmp_path / "j.log").study)
    assert {row.reason for row in rows if row.state == "failed"} == {"loss is nan"}
    assert any(row.state == "evaluated" for row in rows)


@pytest.mark.parametrize("error", [ZeroDivisionError("division by zero"), ValueError("shapes differ\nat length")])
def test_what_a_metric_raises_is_one_line_of_its_trial(tmp_path: Path, error: Exception) -> None:
    def broken(candidate: Candidate) -> Evaluation:
        if candidate.arch.digest[0] in "01234567":
            raise error
        return by_loss(candidate)

    rows = trial_rows(run_study(plan(broken, metrics=METRICS), tmp_path / "j.log").study)
    assert {row.reason for row in rows if row.state == "failed"} == {str(error).split("\n")[0]}


def fine_tune(candidate: Candidate, gate: Gate) -> Evaluation:
    best, rows = loss(candidate.arch), list[TuningEpoch]()
    for epoch in range(1, 5):
        rows.append(TuningEpoch(epoch=epoch, value=best * (1 + 1 / epoch)))
        if epoch < 4 and not gate(epoch, rows[-1].value):
            return evaluation(rows[-1].value, 0.1, LOSS, history=tuple(rows), stopped_at=epoch)
    return evaluation(best, 0.1, LOSS, figures={"bytes": 123.0}, history=tuple(rows))


@pytest.mark.parametrize("pruner", [None, optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=0)])
def test_those_of_most_loss_are_given_up(tmp_path: Path, pruner: Any) -> None:
    steps = Fidelities(fine_tune, rungs=(0, 1), keep=0.5, least=4, pruner=pruner)
    made = plan(by_loss, fidelities=steps, objective="metric", metrics=METRICS, evaluations=40, sampler=random)
    rows = trial_rows(run_study(made, tmp_path / "j.log").study)
    done, given_up = ([row for row in rows if row.state == state] for state in ("evaluated", "given up"))
    assert len(given_up) >= 5
    assert "given up after" in given_up[0].reason and "loss" in given_up[0].reason
    means = [np.mean([np.log(loss(row.arch)) for row in some if row.arch]) for some in (done, given_up)]
    assert means[0] < means[1]


def test_archs_evaluated_first_are_ranked_by_their_loss(tmp_path: Path) -> None:
    made = plan(by_loss, objective="metric", metrics=METRICS, evaluations=60, sampler=random, name="archs")
    learned = ZeroShot(made, tmp_path / "archs.json")
    learned.learn()
    rng = np.random.default_rng(1)
    archs = [ORACLE.space.sample(rng) for _ in range(60)]
    expected = learned([Candidate(arch) for arch in archs])
    order = np.argsort(np.argsort(expected)), np.argsort(np.argsort([-loss(arch) for arch in archs]))
    assert np.corrcoef(*order)[0, 1] > 0.6  # more quality is less loss
    (best,) = learned.best(replace(made.limits, targets=({},)))
    assert loss(best) == min(row.score.value for row in trial_rows_of(learned))


def trial_rows_of(learned: ZeroShot) -> Any:
    from ofa.records import read_record
    from search.study.zero_shot import EvaluatedArchs

    return read_record(learned.file, EvaluatedArchs).rows


def with_accuracy(candidate: Candidate) -> Evaluation:
    """The larger the better in accuracy, and the worse in loss: a limit decides."""
    right = ORACLE.accuracy(candidate.arch)
    return Evaluation({"loss": score(right, LOSS), "accuracy": score(right, ACCURACY)}, 0.0)


@pytest.mark.parametrize("sampler", [guided, evolution, tpe, random])
def test_limits_on_metrics_are_constraints_of_trials(tmp_path: Path, sampler: Any) -> None:
    both = (LOSS, ACCURACY)
    limit = {"metric_limits": {"accuracy": 0.75}}
    made = plan(with_accuracy, sampler=sampler, objective="metric", metrics=both, evaluations=30, **limit)
    result = run_study(made, tmp_path / "j.log")
    for row in trial_rows(result.study):
        if row.state == "evaluated":
            constraints = result.study.trials[row.number].constraints
            assert constraints["accuracy"] == pytest.approx((0.75 - row.scores["accuracy"].value) / 0.75)
            assert len(result.study.trials[row.number].system_attrs["constraints"]) == 2
    chance = run_study(replace(made, sampler=random), tmp_path / "chance.log").study
    learned, drawn = (least_kept(study) for study in (result.study, chance))
    assert 0.75 <= learned <= drawn + 0.02  # no sampler runs away to where the limit is missed


def least_kept(study: optuna.Study) -> float:
    rows = [row for row in trial_rows(study) if row.state == "evaluated"]
    return min(row.scores["loss"].value for row in rows if row.scores["accuracy"].value >= 0.75)


def test_a_study_of_another_metric_is_not_gone_on_with(tmp_path: Path) -> None:
    from ofa.errors import InvalidInput

    made = plan(by_loss, metrics=METRICS, evaluations=4)
    run_study(made, tmp_path / "j.log")
    assert load_study(tmp_path / "j.log", "s").user_attrs["metric"]["maximize"] is False
    for changes in ({"metrics": (ACCURACY,)}, {"metric_limits": {"loss": 3.0}}):
        with pytest.raises(InvalidInput, match="of another"):
            run_study(replace(made, **changes), tmp_path / "j.log")


def test_the_median_limit_is_met(tmp_path: Path) -> None:
    rows = trial_rows(run_study(plan(by_loss, metrics=METRICS), tmp_path / "j.log").study)
    assert all(row.figures["latency_ms"] <= MEDIAN for row in rows if row.state == "evaluated")
    assert all(isinstance(row.score, Score) for row in rows if row.state == "evaluated")
