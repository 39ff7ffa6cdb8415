"""Metrics as files know them: direction, words, and what is within noise."""

from __future__ import annotations

import pytest

from ofa.task import Score, classification
from ofa.task.metric import text_with_error
from search.run.scores import (
    Scores,
    check_scored,
    combined_error,
    facts_of,
    is_noise,
    metrics_of,
    ordered,
    with_first,
)
from tests.search.scored import ACCURACY, LOSS, scores_of


def test_quality_goes_up_whatever_the_direction() -> None:
    assert ACCURACY.quality(0.9) > ACCURACY.quality(0.8)
    assert LOSS.quality(2.0) > LOSS.quality(3.0)
    assert LOSS.value(LOSS.quality(2.5)) == 2.5
    assert (ACCURACY.direction, LOSS.direction) == ("maximize", "minimize")


@pytest.mark.parametrize(
    ("metric", "score", "text"),
    [
        (ACCURACY, 0.9306, "93.06 %"),
        (ACCURACY, Score(0.9306, 360, 0.0134), "93.06 ± 1.34 %"),
        (ACCURACY, None, "-"),
        (LOSS, 1.8437, "1.844 nats"),
        (LOSS, Score(1.8437, 10, 0.021), "1.844 ± 0.021 nats"),
        (LOSS, Score(12345.6, 10, 230.0), "12346 ± 230 nats"),
        (LOSS, Score(1.5, 10, 0.0), "1.5 nats"),
    ],
)
def test_scores_have_their_unit_and_error(metric: object, score: object, text: str) -> None:
    assert metric.text(score) == text  # type: ignore[attr-defined]


def test_axes_and_columns_say_where_less_is_better() -> None:
    assert ACCURACY.axis("validation") == "validation accuracy, %"
    assert LOSS.axis("test") == "test loss, nats (lower is better)"
    assert (ACCURACY.heading("test"), LOSS.heading("test")) == ("test accuracy", "test loss (lower is better)")


def test_differences_have_a_sign_a_unit_and_an_error() -> None:
    minus = "\N{MINUS SIGN}"
    one, other = Score(0.91, 100, 0.006), Score(0.922, 100, 0.008)
    assert ACCURACY.difference_text(one, other) == f"{minus}1.20 ± 1.00 points"
    assert ACCURACY.gain_in_words(Score(-0.012, 100, 0.003)) == "1.20 ± 0.30 points lower"
    assert ACCURACY.gain_in_words(Score(0.012, 100)) == "1.20 points higher"
    assert LOSS.difference_text(Score(2.5, 1), Score(2.0, 1)) == "+0.5 nats"
    assert combined_error(one, other) == pytest.approx(0.01)
    assert combined_error(one, Score(0.9, 100)) is None


def test_noise_is_below_two_combined_standard_errors() -> None:
    base = Score(0.9, 100, 0.006)
    assert is_noise(base, Score(0.919, 100, 0.008))
    assert not is_noise(base, Score(0.921, 100, 0.008))
    assert not is_noise(base, Score(0.9, 100))  # not known


def test_metrics_of_a_task_and_their_order() -> None:
    task = classification(num_classes=3, metrics=("balanced_accuracy", "accuracy"))
    assert [metric.title for metric in metrics_of(task)] == ["balanced accuracy", "accuracy"]
    both = {"a": Score(1.0, 1), "b": Score(2.0, 1)}
    assert list(with_first(both, "b")) == ["b", "a"]
    assert ordered(scores_of(0.5, 0.4), (ACCURACY,)) == scores_of(0.5, 0.4)


def test_large_values_are_written_out() -> None:
    assert (text_with_error(12345.6, None, "EUR"), text_with_error(9876.5, None, "")) == ("12346 EUR", "9876")
    assert text_with_error(3.2e10, None, "") == "3.2e+10"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "no 'accuracy'"),
        ({"accuracy": Score(1.5, 64)}, "from 0 to 1"),
        ({"accuracy": Score(0.5, 0)}, "at least 1"),
        ({"accuracy": Score(0.5, 64, -0.1)}, "0 or more"),
    ],
)
def test_scores_that_cannot_be_are_no_scores(values: dict[str, Score], said: str) -> None:
    metric = facts_of(classification(num_classes=3).objective)
    good = {"accuracy": Score(0.5, 64, 0.06)}
    check_scored([metric], good, Scores(validation=good, test=good), None)
    with pytest.raises(ValueError, match=said):
        check_scored([metric], Scores(validation=good, test=values or {"other": Score(0.5, 64)}))
