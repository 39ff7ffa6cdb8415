"""From the trials of a search to its Analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.analysis.analyse import Analysis, analyse
from search.analysis.searched import searched_settings
from search.report.data import Trial


def analysis_of(trials: Sequence[Trial], config: Mapping[str, Any], given_up: int) -> Analysis:
    """Returns the Analysis of the trials that have an accuracy.

    Args:
        config: what the search was made with.
        given_up: how many other trials there are, whose accuracies are of less training.
    """
    known = [(trial, trial.accuracy) for trial in trials if trial.accuracy is not None]
    names = list(dict.fromkeys(name for trial, _ in known for name in trial.settings))
    return analyse(
        [trial.arch for trial, _ in known],
        [trial.settings for trial, _ in known],
        [accuracy for _, accuracy in known],
        searched_settings(config, names),
        given_up,
    )
