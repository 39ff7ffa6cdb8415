"""Searched keys: any key of a configuration, and what cannot be searched refused by name."""

from __future__ import annotations

import pytest

from ofa.errors import InvalidInput
from search.candidates.parameters import Number, OneOf
from search.config.request import plain
from search.config.searched_keys import candidate_request, searched_keys
from tests.search.evaluation.conftest import joint_request


def test_the_shipped_parameters_come_in_order_of_their_conditions() -> None:
    parameters = {one.name: one for one in searched_keys(joint_request()).parameters}
    assert {"sparsity", "start", "criterion", "schedule", "regularizer", "learning_rate"} <= parameters.keys()
    names = list(parameters)
    for name, one in parameters.items():
        assert all(names.index(other) < names.index(name) for other, _ in one.when)
    assert isinstance(parameters["sparsity"], Number)
    assert isinstance(parameters["schedule"], OneOf)
    assert parameters["schedule_end"].when == (("schedule", ("cubic", "linear")),)


def test_settings_stand_at_their_keys_and_what_refers_to_them_follows() -> None:
    request = joint_request()
    keys = searched_keys(request)
    settings = {
        "criterion": "taylor",
        "schedule": "linear",
        "sparsity": 0.9,
        "schedule_end": 0.4,
        "regularizer": "l2",
        "l2_strength": 0.002,
        "start": "fresh",
        "initializer": "lsuv",
    }
    found = plain(candidate_request(request.composed, keys, settings))
    prune = found["prune"]
    assert prune["criterion"]["_target_"] == "ofa.prune.criteria.taylor"
    assert prune["schedule"]["_target_"] == "ofa.prune.schedules.Linear"
    assert (prune["schedule"]["final"], prune["schedule"]["end"], prune["sparsity"]) == (0.9, 0.4, 0.9)
    assert prune["regularizers"]["l2"]["strength"] == 0.002
    assert found["search"]["tuning"]["start"] == "fresh"
    assert found["initializer"]["_target_"] == "ofa.prune.initializers.lsuv_"
    again = candidate_request(request.composed, keys, {"regularizer": "l2"}).prune
    assert again.regularizers is not None
    assert again.regularizers["l2"]["strength"] == 1e-4  # one candidate leaves nothing behind for the next
    assert request.prune is not None and request.prune.regularizers == {}


def test_any_key_can_be_searched_and_any_entry_left_out() -> None:
    request = joint_request(
        "search.parameters.distill=null",
        "+search.parameters.epochs={sets: search.tuning.epochs, whole: [1, 4]}",
        "+search.parameters.batch={sets: dense.batch_size, one_of: [16, 32]}",
    )
    keys = searched_keys(request)
    names = [one.name for one in keys.parameters]
    assert "distill" not in names
    candidate = candidate_request(request.composed, keys, {"epochs": 3, "batch": 16})
    assert (candidate.search.tuning.epochs, candidate.dense.batch_size) == (3, 16)


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ("x=3", "search.parameters.x=3 must be a mapping"),
        ("x={sets: dense.epochs, whole: [1, 4], lg: true}", "search.parameters.x.lg is unknown; did you mean log"),
        ("x={sets: dense.epochs}", "needs one of one_of, number, whole; it has none"),
        ("x={sets: dense.epochs, whole: [1, 4], number: [1, 4]}", "it has number, whole"),
        ("x={sets: dense.epochs, whole: [1]}", "search.parameters.x.whole=[1] must be two numbers"),
        ("x={sets: dense.epochs, number: [4, 1]}", "parameter x: 4.0 to 1.0 must rise"),
        ("x={whole: [1, 4]}", "search.parameters.x needs sets"),
        ("x={sets: densse.epochs, whole: [1, 4]}", "x sets densse.epochs, and the configuration has no densse"),
        ("x={sets: dense.epochs, whole: [1, 4], when: {schedul: cubic}}", "did you mean schedule"),
        ("x={sets: dense.epochs, whole: [1, 4], when: {schedule: cube}}", "did you mean cubic"),
        ("x={sets: dense.epochs, whole: [1, 4], when: cubic}", "when=cubic must name parameters"),
    ],
)
def test_what_cannot_be_searched_is_refused_by_name(entry: str, named: str) -> None:
    with pytest.raises(InvalidInput) as error:
        searched_keys(joint_request(f"+search.parameters.{entry}"))
    assert named in str(error.value)
    assert "\n" not in str(error.value)


def test_a_number_of_archs_that_is_too_few_is_refused_before_anything_long() -> None:
    with pytest.raises(InvalidInput, match="zero_shot=3"):
        joint_request("search.tuning.zero_shot=3")
