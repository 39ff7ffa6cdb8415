"""The evaluations of a search as rows of loggers, as they end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ofa.loggers import Logger
from search.candidates.trials import TrialProgress


def evaluations_to(loggers: Sequence[Logger], metric: str) -> Callable[[TrialProgress], None]:
    """Returns what gives each evaluation that ends to loggers, its number among all evaluations being the step.

    Its score is in the row by the name of the metric. A search that is resumed adds to what they have; one that begins
    replaces it.
    """
    last: list[int] = []

    def log(ended: TrialProgress) -> None:
        if not ended.is_evaluation:
            return
        if not last:
            opened = [logger.open(fresh=ended.done == 1) for logger in loggers]
            last[:] = [0 if step is None else step for step in opened]
        row: dict[str, Any] = {"trial": ended.trial, "state": ended.state, **ended.figures}
        if ended.score is not None:
            row |= {metric: ended.score.value, f"{metric}_standard_error": ended.score.standard_error}
        for number, logger in enumerate(loggers):
            if ended.done > last[number]:
                last[number] = ended.done
                logger.log(ended.done, row)

    return log
