"""From trials to their analysis: those without a score are left out."""

from __future__ import annotations

from dataclasses import replace

from search.report.gather_summary import analysis_of
from tests.search.report.analyzed_example import CONFIG, analyzed
from tests.search.report.example import example
from tests.search.scored import ACCURACY


def test_trials_without_a_score_are_left_out() -> None:
    trials = list(analyzed(30).trials)
    refused = [replace(trial, score=None, feasible=False) for trial in trials[:9]]
    found = analysis_of([*trials[9:], *refused], ACCURACY, CONFIG, 4)
    assert (found.candidates, found.given_up) == (21, 4)
    assert [one.name for one in found.settings] == ["how_sparse", "begin", "filling", "plan", "rate"]
    assert analysis_of(refused, ACCURACY, CONFIG, 0).candidates == 0


def test_a_search_over_architectures_alone_has_what_matters() -> None:
    found = analysis_of(example().devices[0].trials[:60], ACCURACY, {}, 0)
    assert found.effects == {} and found.together is None
    assert found.decisive is not None
    assert set(found.decisive.mains) <= {choice.key for choice in example().choices}
