"""From trials to their analysis: those without an accuracy are left out."""

from __future__ import annotations

from dataclasses import replace

from search.report.gather_summary import analysis_of
from tests.search.report.analysed_example import CONFIG, analysed
from tests.search.report.example import example


def test_trials_without_an_accuracy_are_left_out() -> None:
    trials = list(analysed(30).trials)
    refused = [replace(trial, accuracy=None, feasible=False) for trial in trials[:9]]
    found = analysis_of([*trials[9:], *refused], CONFIG, 4)
    assert (found.candidates, found.given_up) == (21, 4)
    assert [one.name for one in found.settings] == ["how_sparse", "begin", "filling", "plan", "rate"]
    assert analysis_of(refused, CONFIG, 0).candidates == 0


def test_a_search_over_architectures_alone_has_what_matters() -> None:
    found = analysis_of(example().devices[0].trials[:60], {}, 0)
    assert found.effects == {} and found.together is None
    assert found.decisive is not None
    assert set(found.decisive.mains) <= {choice.key for choice in example().choices}
