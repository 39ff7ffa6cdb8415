"""Limits: checked, and what meets them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from ofa.errors import InvalidInput
from search.candidates.limits import Limits, check_target, meets, violations
from tests.search.synthetic import Oracle, block_space

ORACLE = Oracle(block_space(stages=3, blocks=3))
SPACE = ORACLE.space


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf"), "4", None, True])
def test_a_limit_is_a_positive_number(limit: Any) -> None:
    with pytest.raises(InvalidInput, match=r"latency_ms=.* above 0"):
        check_target({"latency_ms": limit})


def test_an_unknown_figure_names_the_nearest() -> None:
    with pytest.raises(InvalidInput, match="did you mean latency_ms"):
        check_target({"latency": 4})


@pytest.mark.parametrize("margin", [-0.1, 1.0, "x", True, {"latency_ms": 1.0}, {"latency": 0.1}])
def test_margin_is_a_fraction(margin: Any) -> None:
    with pytest.raises(InvalidInput, match=r"margin|did you mean latency_ms"):
        Limits(({"latency_ms": 1.0},), margin)


def test_margin_is_taken_off_latency_alone_and_the_loosest_target_is_hard() -> None:
    limits = Limits(({"latency_ms": 4.0, "macs": 1e6}, {"latency_ms": 1.0, "macs": 2e6}), 0.1)
    assert limits.hard == {"latency_ms": pytest.approx(3.6), "macs": 2e6}
    assert Limits(({"latency_ms": 4.0}, {"macs": 1.0})).hard == {}


def test_each_figure_may_have_a_margin_of_its_own() -> None:
    target = {"latency_ms@a": 1.0, "latency_ms@b": 2.0, "params": 100.0}
    limits = Limits((target,), {"latency_ms@b": 0.2, "latency_ms@a": 0.1})
    assert limits.allowed(target) == {"latency_ms@a": 0.9, "latency_ms@b": 1.6, "params": 100.0}
    assert Limits((target,), 0.5).allowed(target) == {"latency_ms@a": 0.5, "latency_ms@b": 1.0, "params": 100.0}
    assert json.loads(json.dumps(limits.to_dict()))["margin"] == {"latency_ms@a": 0.1, "latency_ms@b": 0.2}


def test_violations_and_meets_agree() -> None:
    archs = [SPACE.sample(np.random.default_rng(seed)) for seed in range(40)]
    figures = ORACLE.figures(archs)
    allowed = {"latency_ms": float(np.median(figures["latency_ms"])), "macs": float(np.median(figures["macs"]))}
    good = meets(figures, allowed)
    assert 0 < good.sum() < 40
    for index, kept in enumerate(good):
        one = {name: float(values[index]) for name, values in figures.items()}
        assert violations(one, allowed)["macs"] == pytest.approx(one["macs"] / allowed["macs"] - 1)
        assert kept == all(value <= 0 for value in violations(one, allowed).values())
