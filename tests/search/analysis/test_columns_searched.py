"""Searched settings: found by what they set, whatever they are called, with all that depends on them."""

from __future__ import annotations

from search.analysis.columns import SCHEDULE, SPARSITY, START, Searched, dependents, searched_settings, that_sets

CONFIG = {
    "search": {
        "parameters": {
            "how_sparse": {"sets": ["prune.sparsity", "prune.schedule.final"], "number": [0, 1]},
            "begin": {"sets": "search.tuning.start", "one_of": ["inherit", "fresh"]},
            "filling": {"sets": "initializer", "one_of": {"built": {}, "lsuv": {}}, "when": {"begin": "fresh"}},
            "gain": {"sets": "initializer.gain", "number": [1, 2], "log": True, "when": {"filling": ["lsuv"]}},
            "unused": None,
        }
    }
}
NAMES = ["gain", "filling", "begin", "how_sparse"]


def test_settings_are_found_by_what_they_set() -> None:
    found = searched_settings(CONFIG, NAMES)
    assert [one.name for one in found] == ["how_sparse", "begin", "filling", "gain"]
    assert that_sets(found, SPARSITY) == found[0]
    assert that_sets(found, START) == found[1]
    assert that_sets(found, SCHEDULE) is None
    assert [one.log for one in found] == [False, False, False, True]


def test_dependents_go_on_through_others() -> None:
    found = searched_settings(CONFIG, NAMES)
    assert dependents("begin", found) == {"filling", "gain"}
    assert dependents("filling", found) == {"gain"}
    assert dependents("how_sparse", found) == frozenset()


def test_a_configuration_that_says_nothing_leaves_names() -> None:
    for config in ({}, {"search": None}, {"search": {"parameters": {"a": "damaged"}}}):
        assert searched_settings(config, ["a"]) == (Searched("a"),)
