"""Limits on metrics: their forms, their direction, and by how much they are missed."""

from __future__ import annotations

from typing import Any

import pytest

from ofa.errors import InvalidInput
from search.candidates.metric_limits import meets_metrics, metric_limits, metric_limits_text, metric_violations
from tests.search.scored import ACCURACY, LOSS, scored

BOTH = (LOSS, ACCURACY)


@pytest.mark.parametrize("limit", [0.9, ">=0.9", " >= 9e-1 ", ">= .9"])
def test_a_least_accuracy(limit: Any) -> None:
    assert metric_limits({"accuracy": limit, "loss": None}, BOTH) == {"accuracy": 0.9}


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"acuracy": 0.9}, "has 'acuracy', no metric of the task; did you mean accuracy"),
        ({"accuracy": "<= 0.9"}, "of accuracy higher is better; write '>= 0.9'"),
        ({"loss": ">= 3"}, "of loss lower is better; write '<= 3'"),
        ({"loss": "3 at most"}, "must be >= or <= and a number"),
        ({"loss": float("nan")}, "must be >= or <= and a number"),
        ({"loss": "<= 1e"}, "must be >= or <= and a number"),
        ({"loss": True}, "must be >= or <= and a number"),
    ],
)
def test_others_are_refused_in_one_line(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        metric_limits(limits, BOTH)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_violations_are_fractions_above_zero_where_missed() -> None:
    scores = {**scored(4.0, LOSS), **scored(0.8)}
    found = metric_violations(scores, {"loss": 2.0, "accuracy": 0.64}, BOTH)
    assert found == {"loss": pytest.approx(1.0), "accuracy": pytest.approx(-0.25)}
    assert not meets_metrics(scores, {"loss": 2.0}, BOTH)
    assert meets_metrics(scores, {"loss": 4.0, "accuracy": 0.8}, BOTH)
    assert metric_violations(scores, {"loss": 0.0}, BOTH) == {"loss": 4.0}


def test_limits_in_words() -> None:
    assert metric_limits_text({"accuracy": 0.9, "loss": 2.0}, BOTH) == "accuracy ≥ 90.00 % and loss ≤ 2 nats"
    assert metric_limits_text({}, BOTH) == ""
