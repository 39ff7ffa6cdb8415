"""Made-up metrics, scores and evaluations: an accuracy, of which more is better, and a loss, of which less is."""

from __future__ import annotations

from typing import Any

from ofa.task import Score
from search.candidates.space import Evaluation
from search.run.scores import MetricFacts, Scores

ACCURACY = MetricFacts(name="accuracy", title="accuracy", unit="%")
LOSS = MetricFacts(name="loss", title="loss", unit="nats", maximize=False)
EXAMPLES = 1000


def score(value: float, metric: MetricFacts = ACCURACY, error: float | None = None) -> Score:
    """Returns a score on `EXAMPLES` examples, of an accuracy with its binomial standard error."""
    if error is None and metric == ACCURACY and 0 <= value <= 1:
        error = (value * (1 - value) / EXAMPLES) ** 0.5
    return Score(value, EXAMPLES, error)


def scored(value: float, metric: MetricFacts = ACCURACY, error: float | None = None) -> dict[str, Score]:
    """Returns the scores of an evaluation, of one metric."""
    return {metric.name: score(value, metric, error)}


def evaluation(value: float, seconds: float = 0.1, metric: MetricFacts = ACCURACY, **options: Any) -> Evaluation:
    """Returns an evaluation with a score of one metric."""
    return Evaluation(scored(value, metric), seconds, **options)


def scores_of(validation: float, test: float, metric: MetricFacts = ACCURACY) -> Scores:
    """Returns the scores of a network on both splits."""
    return Scores(validation=scored(validation, metric), test=scored(test, metric))
