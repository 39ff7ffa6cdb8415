"""Made-up rows of trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ofa.arch import Arch
from search.candidates.search_files import State, TrialRow
from search.candidates.space import TuningEpoch
from search.run.cards import Setting
from search.run.scores import MetricFacts
from tests.search.scored import ACCURACY, scored


def trial_row(
    number: int,
    state: State,
    arch: Arch,
    figures: Mapping[str, float],
    value: float | None,
    *,
    metric: MetricFacts = ACCURACY,
    error: float | None = None,
    settings: Mapping[str, Setting] | None = None,
    history: Sequence[TuningEpoch] = (),
) -> TrialRow:
    """Returns the row of a trial that took a tenth of a second."""
    return TrialRow(
        number=number,
        state=state,
        arch=arch,
        figures=figures,
        scores={} if value is None else scored(value, metric, error),
        seconds=0.1,
        cached=False,
        reason="",
        settings=settings or {},
        history=tuple(history),
    )
