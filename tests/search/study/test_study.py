"""run_study over an analytic space: limits hold before evaluation, budgets are met, nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

from ofa.arch import Arch
from ofa.choice import Choice
from ofa.errors import InvalidInput
from ofa.space import Space
from search.candidates.limits import Limits
from search.candidates.space import Candidate, CandidateSpace, Evaluation
from search.candidates.trials import TrialProgress, trial_rows
from search.samplers import SamplerFactory, random
from search.study.plan import starting_candidates
from search.study.study import load_study, run_study
from tests.search.study.synthetic_plan import MEDIAN, ORACLE, SAMPLERS, Counting, plan
from tests.search.synthetic import Oracle


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("objective", ["pareto", "accuracy"])
def test_what_is_over_a_limit_is_never_evaluated(tmp_path: Path, sampler: SamplerFactory, objective: str) -> None:
    evaluate = Counting()
    result = run_study(plan(evaluate, sampler=sampler, objective=objective), tmp_path / "j.log")
    assert result.evaluated == result.evaluated_now == 16
    assert len(evaluate.asked) == len(set(evaluate.asked)) == 16
    assert (ORACLE.figures(evaluate.asked)["latency_ms"] <= MEDIAN * 0.98).all()
    rows = trial_rows(result.study)
    for row in rows:
        over = row.figures["latency_ms"] / (MEDIAN * 0.98) - 1
        assert (row.state == "infeasible") == (over > 0)
        trial = result.study.trials[row.number]
        assert trial.constraints["latency_ms"] == pytest.approx(over)
        assert trial.system_attrs["constraints"] == [pytest.approx(over)]
        if row.state == "evaluated":
            assert row.arch is not None
            assert row.score is not None
            assert row.score.value == ORACLE.accuracy(row.arch)
            assert row.figures["macs"] == ORACLE.figures([row.arch])["macs"][0]
        else:
            assert trial.state == optuna.trial.TrialState.PRUNED
    assert result.study.metric_names == (["accuracy", "latency_ms"] if objective == "pareto" else ["accuracy"])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_choices_of_one_value_are_searched_around(tmp_path: Path, sampler: SamplerFactory) -> None:
    """Of the widths 24, 32 and 48 an alignment to 48 leaves one, to 16 two."""
    for multiple, widths in ((48, {48}), (16, {32, 48})):
        evaluate, space = Counting(), ORACLE.space.aligned(multiple)
        run_study(
            plan(evaluate, sampler=sampler, space=CandidateSpace(space), limits=Limits()), tmp_path / f"{multiple}.log"
        )
        assert len(set(evaluate.asked)) == 16
        assert {width for arch in evaluate.asked for width in arch.width.values()} == widths
        assert all(ORACLE.space.contains(arch) for arch in evaluate.asked)


def test_evolution_proposes_nothing_infeasible_or_known(tmp_path: Path) -> None:
    result = run_study(plan(evaluations=20), tmp_path / "j.log")
    assert {row.state for row in trial_rows(result.study)} == {"evaluated"}


def test_an_impossible_limit_ends_before_any_evaluation(tmp_path: Path) -> None:
    evaluate = Counting()
    with pytest.raises(InvalidInput, match="smallest reachable is"):
        run_study(plan(evaluate, limits=Limits(({"latency_ms": 1e-3},))), tmp_path / "j.log")
    assert not evaluate.asked
    assert not (tmp_path / "j.log").exists()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_tiny_space_is_exhausted_and_the_search_stops(tmp_path: Path, sampler: SamplerFactory) -> None:
    space = Space((Choice("width", "a", (8, 16)), Choice("width", "b", (8, 16, 24)), Choice("width", "c", (8,))))
    oracle = Oracle(space)
    evaluate = Counting(oracle.accuracy)
    tiny = plan(evaluate, space=oracle.candidates, figures=oracle.candidate_figures, limits=Limits(), sampler=sampler)
    result = run_study(tiny, tmp_path / "j.log")
    assert result.evaluated == len(set(evaluate.asked)) == space.size == 6
    assert "6 of 16" in result.stopped
    assert "6 in all" in result.stopped
    again = run_study(tiny, tmp_path / "j.log")
    assert (again.evaluated_now, again.evaluated, again.stopped) == (0, 6, result.stopped)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_command_again_continues_then_does_nothing(tmp_path: Path, sampler: SamplerFactory) -> None:
    whole = run_study(plan(sampler=sampler), tmp_path / "whole.log")
    for asked, now in ((9, 9), (9, 0), (16, 7), (4, 0)):
        evaluate = Counting()
        result = run_study(plan(evaluate, sampler=sampler, evaluations=asked), tmp_path / "parts.log")
        assert result.evaluated_now == len(evaluate.asked) == now
    archs = [[trial.params for trial in study.trials] for study in (whole.study, result.study)]
    assert archs[0] == archs[1]


def test_a_trial_that_a_dead_process_left_goes_on(tmp_path: Path) -> None:
    class Dies(Counting):
        def __call__(self, candidate: Candidate) -> Evaluation:
            if len(self.asked) == 7:
                raise KeyboardInterrupt
            return super().__call__(candidate)

    whole = run_study(plan(), tmp_path / "whole.log")
    with pytest.raises(KeyboardInterrupt):
        run_study(plan(Dies()), tmp_path / "j.log")
    result = run_study(plan(), tmp_path / "j.log")
    assert [(row.number, row.arch, row.state) for row in trial_rows(result.study)] == [
        (row.number, row.arch, row.state) for row in trial_rows(whole.study)
    ]
    assert [trial.number for trial in result.study.trials if "resumed" in trial.user_attrs] == [7]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"identity": {"supernet": "other", "config": "def"}}, "another supernet (abc there, other now)"),
        ({"identity": {"supernet": "abc", "config": "other"}}, "another config"),
        ({"limits": Limits(({"latency_ms": 2 * MEDIAN},))}, "another limits"),
        ({"objective": "accuracy"}, "another objective"),
        ({"seed": 1}, "another seed"),
    ],
)
def test_a_study_of_something_else_is_refused_by_name(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    run_study(plan(evaluations=3), tmp_path / "j.log")
    before = (tmp_path / "j.log").read_bytes()
    with pytest.raises(InvalidInput) as error:
        run_study(plan(**change), tmp_path / "j.log")
    assert named in str(error.value)
    assert "\n" not in str(error.value)
    assert (tmp_path / "j.log").read_bytes() == before


def test_two_studies_share_a_journal(tmp_path: Path) -> None:
    run_study(plan(evaluations=3), tmp_path / "j.log")
    run_study(plan(evaluations=4, name="other", seed=1), tmp_path / "j.log")
    assert len(load_study(tmp_path / "j.log", "s").trials) == 3
    assert len(load_study(tmp_path / "j.log", "other").trials) == 4
    with pytest.raises(InvalidInput, match="has no study 'third'; it has s, other"):
        load_study(tmp_path / "j.log", "third")


@pytest.mark.parametrize("error", [InvalidInput("returns NaN"), RuntimeError("out of memory\nmore"), MemoryError()])
def test_one_in_five_that_fail_are_shown_and_do_not_end_a_study(tmp_path: Path, error: Exception) -> None:
    def fails(arch: Arch) -> float:
        if int(arch.digest, 16) % 5 == 0:
            raise error
        return ORACLE.accuracy(arch)

    evaluate = Counting(fails)
    result = run_study(plan(evaluate, evaluations=30), tmp_path / "j.log")
    failed = [row for row in trial_rows(result.study) if row.state == "failed"]
    assert result.evaluated == len(evaluate.asked) == 30
    assert 2 <= len(failed) <= 12
    assert {row.reason for row in failed} == {(str(error) or "MemoryError").splitlines()[0]}


def test_a_supernet_that_only_fails_ends_with_one_line(tmp_path: Path) -> None:
    evaluate = Counting(lambda arch: float("nan"))
    for _ in range(2):  # nor does the second try begin anew
        with pytest.raises(InvalidInput, match=r"^all 5 evaluated subnets failed: accuracy is nan$"):
            run_study(plan(evaluate), tmp_path / "j.log")
    assert len(evaluate.asked) == 5
    with pytest.raises(InvalidInput, match="all 2 evaluated"):
        run_study(plan(evaluate, evaluations=2), tmp_path / "k.log")


def test_a_bug_in_the_evaluation_is_not_hidden(tmp_path: Path) -> None:
    def broken(candidate: Candidate) -> Evaluation:
        raise AttributeError("a bug")

    with pytest.raises(AttributeError):
        run_study(plan(broken), tmp_path / "j.log")


def test_other_limits_and_progress(tmp_path: Path) -> None:
    largest = ORACLE.figures([ORACLE.space.largest])
    target = {"macs": 0.5 * largest["macs"][0], "bytes": 0.7 * largest["bytes"][0]}
    ends: list[TrialProgress] = []
    evaluate = Counting()
    run_study(
        plan(evaluate, limits=Limits((target,)), sampler=random, evaluations=10),
        tmp_path / "j.log",
        progress=ends.append,
    )
    figures = ORACLE.figures(evaluate.asked)
    assert all((figures[name] <= limit).all() for name, limit in target.items())
    assert [end.done for end in ends if end.state == "evaluated"] == list(range(1, 11))
    assert [end.trial for end in ends] == list(range(len(ends)))
    assert {end.evaluations for end in ends} == {10}
    assert any("over" in end.reason for end in ends if end.state == "infeasible")
    assert all((end.score is not None) == (end.state == "evaluated") for end in ends)


def test_a_search_begins_with_the_smallest_and_the_largest_allowed() -> None:
    space = ORACLE.candidates
    assert starting_candidates(plan(limits=Limits())) == [space.smallest, space.largest]
    limited = plan()
    start = starting_candidates(limited)
    assert start[0] == space.smallest
    assert len(start) >= 2
    assert (ORACLE.candidate_figures(start)["latency_ms"] <= limited.limits.hard["latency_ms"]).all()
    assert space.at_level(1.0) == space.largest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"evaluations": 0}, "evaluations=0"),
        ({"evaluations": 2.5}, "evaluations=2.5"),
        ({"objective": "paretto"}, "did you mean pareto"),
        ({"objective": ["accuracy", "macs", "macs"]}, "'macs' is given twice"),
        ({"seed": -1}, "seed=-1"),
        ({"refusals": 0}, "refusals=0"),
    ],
)
def test_a_plan_is_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        plan(**change)
