"""Warm start: the best of earlier searches come first, where they fit, and again after a kill."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofa.choice import Choice
from ofa.errors import InvalidInput
from ofa.records import write_record
from ofa.space import Space
from search.candidates.limits import Limits
from search.candidates.parameters import Number, OneOf
from search.candidates.search_files import State, TrialRow, Trials
from search.candidates.space import Candidate, CandidateSpace, Evaluation
from search.candidates.trials import trial_rows
from search.run import stages
from search.run.paths import RunFolder, SearchFolder
from search.samplers import guided
from search.study.plan import SearchPlan, digest_of_candidates, fitting, starting_candidates
from search.study.study import run_study
from search.study.warm_start import best_candidates, earlier_candidates
from tests.record_files import rewrite
from tests.search.scored import ACCURACY, evaluation
from tests.search.study.shared_study import ORACLE as SHARED
from tests.search.study.shared_study import MakePlan, run_shared
from tests.search.study.trial_rows import trial_row
from tests.search.synthetic import Oracle, block_space

ORACLE = Oracle(block_space(stages=2, blocks=3))
SPACE = ORACLE.candidates
LARGEST = float(ORACLE.figures([ORACLE.space.largest])["latency_ms"][0])
LIMIT = {"latency_ms": 0.8 * LARGEST}
DRAWN = (SPACE.mutate(SPACE.smallest, np.random.default_rng(seed), 0.3) for seed in range(40))
NEAR = dict.fromkeys([SPACE.smallest, *DRAWN])
FEW = [one for one in NEAR if ORACLE.figures([one.arch])["latency_ms"][0] < 0.7 * LARGEST]


def row(candidate: Candidate, accuracy: float, latency_ms: float, state: State = "evaluated") -> TrialRow:
    figures = {"latency_ms": latency_ms}
    return trial_row(0, state, candidate.arch, figures, accuracy, settings=candidate.values)


def written(folder: Path, rows: list[TrialRow], objective: Any = None) -> Path:
    """A search's folder with these trials, and a stamp where an objective is given."""
    files = SearchFolder(folder)
    write_record(files.trials, Trials(metrics=(ACCURACY,), rows=tuple(rows)))
    files.journal.touch()
    if objective is not None:
        with stages.written(stages.Stage("search", folder, {"search": {"objective": objective}}, amount=1)):
            pass
    return folder


def plan(**changes: Any) -> SearchPlan:
    def evaluate(candidate: Candidate) -> Evaluation:
        return evaluation(ORACLE.accuracy(candidate.arch), 0.001)

    made = SearchPlan("s", SPACE, ORACLE.candidate_figures, evaluate, 16, (ACCURACY,), Limits((LIMIT,)))
    return replace(made, **changes)


def test_the_best_are_ranked_by_their_own_objectives(tmp_path: Path) -> None:
    low, cheap, middle, high, dominated = FEW[:5]
    rows = [row(dominated, 0.6, 9.0), row(cheap, 0.5, 1.0), row(middle, 0.7, 2.0), row(high, 0.9, 3.0)]
    rows += [row(low, 0.99, 0.1, "failed"), row(low, 0.99, 0.1, "given up"), row(high, 0.9, 3.0)]
    pareto = written(tmp_path / "pareto", rows)
    assert set(best_candidates(pareto / "trials.json", 3)) == {cheap, middle, high}
    assert best_candidates(pareto / "trials.json", 9)[-1] == dominated
    alone = written(tmp_path / "alone", rows, "accuracy")
    assert best_candidates(alone / "trials.json", 9) == [high, middle, dominated, cheap]
    named = written(tmp_path / "named", rows, ["accuracy", "latency_ms"])
    assert best_candidates(named / "trials.json", 9) == best_candidates(pareto / "trials.json", 9)


def test_a_search_is_found_by_name_and_by_path(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    written(run.search("pi5"), [row(FEW[0], 0.5, 1.0)])
    other = written(tmp_path / "other/search/phone", [row(FEW[1], 0.5, 1.0), row(FEW[0], 0.4, 0.5)])
    assert earlier_candidates(run, ["pi5"], 5) == FEW[:1]
    assert set(earlier_candidates(run, ["pi5", str(other)], 5)) == set(FEW[:2])
    assert earlier_candidates(run, [str(other / "trials.json")], 1) in ([FEW[1]], [FEW[0]])
    with pytest.raises(InvalidInput, match=r"'pi6' is neither a search of .* did you mean pi5"):
        earlier_candidates(run, ["pi6"], 5)
    (other / "trials.json").unlink()
    with pytest.raises(InvalidInput, match=r"trials\.json does not exist; wait for that search"):
        earlier_candidates(run, [str(other)], 5)
    written(other, [row(FEW[1], 0.5, 1.0)])
    rewrite(other / "trials.json", lambda trials: trials["rows"][0].pop("figures"))
    with pytest.raises(InvalidInput, match="missing required field `figures`"):
        earlier_candidates(run, [str(other)], 5)


def test_what_fits_is_canonical_and_within_the_limits() -> None:
    settings = (OneOf("start", ("inherit", "fresh")), Number("sparsity", 0.0, 0.9, start=0.5))
    space = CandidateSpace(ORACLE.space, settings)
    elsewhere = CandidateSpace(Space((Choice("width", "other", (8, 16)),))).largest
    arch = FEW[0].arch
    given = [
        FEW[0],
        elsewhere,  # an Arch of another supernet
        Candidate(arch, (("sparsity", 0.7), ("epochs", 3))),  # a setting that is not searched here
        Candidate(arch, (("sparsity", 0.95),)),  # out of range
        Candidate(arch, (("start", "inherit"), ("sparsity", 0.5))),  # the first, spelled out
        SPACE.largest,  # over the limit
    ]
    kept = fitting(given, space, lambda every: ORACLE.figures([one.arch for one in every]), LIMIT)
    assert kept == [space.candidate(arch), space.candidate(arch, {"sparsity": 0.7})]
    assert kept[1].values == {"start": "inherit", "sparsity": 0.7}
    assert fitting([elsewhere], space, ORACLE.candidate_figures, {}) == []


def test_they_are_evaluated_after_the_start_and_before_the_sampler(tmp_path: Path) -> None:
    warm = tuple(FEW[1:4])
    given = plan(warm=(*warm, SPACE.largest), sampler=guided)  # the largest is over the limit
    start = starting_candidates(given)
    assert start[0] == SPACE.smallest
    assert set(warm) <= set(start)
    assert SPACE.largest not in start
    rows = trial_rows(run_study(given, tmp_path / "j.log").study)
    assert [one.candidate for one in rows[: len(start)]] == start
    assert all(one.state == "evaluated" for one in rows[: len(start)])
    assert len(rows) > len(start)


def test_cut_off_it_goes_on_with_the_same(tmp_path: Path) -> None:
    warm = tuple(FEW[1:5])
    whole = trial_rows(run_study(plan(warm=warm), tmp_path / "whole.log").study)
    for asked in (2, 4, 9, 16):
        result = run_study(plan(warm=warm, evaluations=asked), tmp_path / "parts.log")
    parts = trial_rows(result.study)
    assert [one.candidate for one in parts] == [one.candidate for one in whole]
    with pytest.raises(InvalidInput, match="of another warm_start"):
        run_study(plan(warm=warm[:2]), tmp_path / "parts.log")
    with pytest.raises(InvalidInput, match="of another warm_start"):
        run_study(plan(), tmp_path / "parts.log")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no lock that ends with its owner")
def test_workers_share_it(tmp_path: Path) -> None:
    warm = tuple(SHARED.candidates.at_level(level / 12) for level in range(1, 5))
    make = MakePlan(tmp_path, 12, warm=warm)
    rows = trial_rows(run_shared(make, 2, tmp_path / "j.log").study)
    start = starting_candidates(make())
    assert {one.candidate for one in rows[: len(start)]} == set(start)
    assert set(warm) <= set(start)


def test_the_digest_tells_order_and_content() -> None:
    assert len({digest_of_candidates(one) for one in (FEW[:2], FEW[1::-1], FEW[:3], [])}) == 4
