"""What a search is asked for: its limits, its fractions, what it is called, and where its study is."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from ofa.errors import InvalidInput
from search.config.read import checked, converted
from search.config.search import FigureLimits, SearchOptions, SearchRequest


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"parms": 1e6}, "search.limits.parms is unknown; did you mean params"),
        ({"peak_activation": 1}, "did you mean peak_activation_bytes"),
        ({"latency_ms": 4}, "search.limits.latency_ms=4 is not a key of search.limits: give latency_ms=4"),
        ({"params": "many"}, "search.limits.params='many' must be a number of params above 0, or null"),
        ({"bytes": 0}, "search.limits.bytes=0 must be a number of bytes above 0"),
        ([1], "search.limits=[1] must be a mapping, with macs and so on, or null"),
    ],
)
def test_limits_beside_latency_are_checked(limits: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        converted({"search": {"limits": limits}}, SearchRequest)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_metric_limits_are_by_metric() -> None:
    with pytest.raises(
        InvalidInput, match=r"search.metric_limits='recall >= .9' must be .* such as \{recall: '>= 0.9'\}"
    ):
        converted({"search": {"metric_limits": "recall >= .9"}}, SearchRequest)


def test_limits_beside_latency_are_read() -> None:
    given = {"macs": 5.0, "params": 1e6, "bytes": 6.0, "peak_activation_bytes": 200.0}
    assert SearchOptions(limits=FigureLimits(**given)).given_limits == given
    assert SearchOptions(limits=FigureLimits(macs=5)).given_limits == {"macs": 5}
    assert SearchOptions(limits=None).given_limits == {}


@pytest.mark.parametrize("given", [[0], [1.5], ["x"], 0.5, "x", [True]])
def test_other_fractions_are_refused(given: Any) -> None:
    with pytest.raises(InvalidInput, match=r"search\.latency_fractions="):
        converted({"search": {"latency_fractions": given}}, SearchRequest)


@pytest.mark.parametrize("given", [None, []])
def test_no_fractions_are_no_limit(given: Any) -> None:
    read = converted({"search": {"latency_fractions": given}}, SearchRequest)
    assert read.search.fractions == ()
    assert read.decides["search"]["latency_fractions"] is None


def test_fractions_rise() -> None:
    assert SearchOptions(latency_fractions=(0.5, 0.25, 0.5)).fractions == (0.25, 0.5)


def test_names_devices_and_objectives_are_derived_from_one_reading_of_the_limits() -> None:
    one = SearchRequest(latency_ms=[4, 2], seed=3)
    assert (one.name, one.latency, one.device_names) == ("onnxruntime-2-4ms-seed3", (2.0, 4.0), ("onnxruntime",))
    assert one.objective_figures == ("latency_ms",)
    two = SearchRequest(latency_ms={"pi5": 30, "laptop": 2})
    assert (two.name, two.device_names) == ("pi5-30ms+laptop-2ms", ("pi5", "laptop"))
    assert two.latency_figures == ("latency_ms@pi5", "latency_ms@laptop")
    assert SearchRequest(study="mine").name == "mine"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"latency_ms": 0}, "latency_ms=0 must be a number of milliseconds above 0"),
        ({"study": "a/b"}, "study='a/b' must be a plain name"),
        ({"run": ".."}, "run='..' must be a plain name"),
        ({"storage": "sqlite:///x"}, "storage=sqlite:///x is SQLite"),
        ({"study": "mine", "search": {"warm_start": ["mine"]}}, "search.warm_start=['mine'] has the search itself"),
        ({"search": {"objective": ["params"]}}, "search.objective=('params',): objective [params] has no metric"),
        ({"search": {"parameters": {"x": {"sets": "seed", "whole": [0, 1]}}}}, "search.parameters are settings of a"),
        ({"search": {"tuning": {}}}, "search.tuning needs the groups dense and prune: give search=joint"),
        ({"trust": ["not-one"]}, "trust='not-one' must name packages"),
        ({"device": {"name": "a/b"}}, "device.name='a/b' must be a plain name"),
        ({"sampler": {"population": 3}}, "sampler={'population': 3} must be a mapping with _target_"),
        ({"device": {"runtime": {}}}, "device.runtime={} must be a mapping with _target_"),
    ],
)
def test_what_goes_together_is_checked_where_the_request_is_made(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        converted(values, SearchRequest)
    assert str(error.value).startswith(message)


def test_requests_are_sent_to_workers_and_looked_at_again() -> None:
    request = SearchRequest(latency_ms={"a": 1.0}, search=SearchOptions(limits=FigureLimits(params=3.0)))
    assert pickle.loads(pickle.dumps(request)) == request
    assert checked(request) == request
    with pytest.raises(InvalidInput, match=r"workers=0 must be a whole number, at least 1"):
        checked(SearchRequest(workers=0))
