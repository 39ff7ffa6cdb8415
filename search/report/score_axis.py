"""ScoreAxis: an axis of a metric on which a few collapsed trials do not flatten the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from search.report.figures import Figure, markers
from search.run.scores import MetricFacts

MARGIN = 0.06  # fraction of the range
TICKS = (0, 20, 40, 50, 60, 70, 75, 80, 85, 90, 92, 94, 95, 96, 97, 98, 98.5, 99, 99.5, 99.8, 99.9)  # %
STEPS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)  # of ticks on a logarithmic axis, times powers of ten
MOST_TICKS = 6
FEW = 200  # points; more are drawn smaller
WIDE = 20.0  # the factor between the largest and the least value from which an axis is logarithmic


@dataclass(frozen=True)
class ScoreAxis:
    """An axis of a metric: logarithmic in the error of a fraction, or in values that span decades, else linear.

    Attributes:
        metric: whose values it shows.
        least, most: the range of errors of a fraction, of values otherwise; those beyond are drawn at that end.
    """

    metric: MetricFacts
    least: float
    most: float

    @property
    def logarithmic(self) -> bool:
        """Whether its positions are logarithms."""
        return self.metric.is_fraction or (self.least > 0 and self.most / self.least >= WIDE)

    @property
    def scale(self) -> str:
        """What its scale is, in words, as the end of a note; empty of a linear one."""
        if self.metric.is_fraction:
            return " The scale is logarithmic in the error."
        return " The scale is logarithmic." if self.logarithmic else ""

    def position(self, value: float) -> float:
        """Returns the position of a value of the metric."""
        if self.metric.is_fraction:
            return -math.log10(min(max(1 - value, self.least), self.most))
        inside = min(max(value, self.least), self.most)
        return math.log10(inside) if self.logarithmic else inside

    @property
    def frame(self) -> Figure:
        """The axis in the form of a layout."""
        low, high = sorted(map(self.position, self._ends))
        margin = MARGIN * (high - low) or 0.05 * abs(high) or 1.0
        inside = {"range": [low - margin, high + margin]}
        if not self.logarithmic:
            return inside
        ticks = self._ticks((high - low) / MOST_TICKS)
        return inside | {
            "tickvals": [self.position(tick) for tick in ticks],
            "ticktext": [f"{self.metric.shown(tick):.4g}" for tick in ticks],
        }

    def points(
        self, x: Sequence[float], values: Sequence[float], name: str, color: str, texts: Sequence[str]
    ) -> Figure:
        """Returns a trace of trials: values of the metric, with a text for each below its value."""
        few = len(x) <= FEW
        return markers(
            name,
            x,
            [self.position(value) for value in values],
            [f"{self.metric.text(value)}<br>{text}" for value, text in zip(values, texts, strict=True)],
            color=color,
            size=6 if few else 5,
            opacity=0.6 if few else 0.4,
            line={"width": 0},
        )

    @property
    def _ends(self) -> tuple[float, float]:
        return (1 - self.most, 1 - self.least) if self.metric.is_fraction else (self.least, self.most)

    def _ticks(self, apart: float) -> list[float]:
        """Values to label, at least `apart` from each other; both ends if fewer than two round ones fit."""
        ticks: list[float] = []
        for tick in self._round:
            if not ticks or self.position(tick) - self.position(ticks[-1]) >= apart:
                ticks.append(tick)
        return ticks if len(ticks) > 1 else list(self._ends)

    @property
    def _round(self) -> list[float]:
        """Round values within the range, ascending."""
        if self.metric.is_fraction:
            return [tick / 100 for tick in TICKS if self.least <= 1 - tick / 100 <= self.most]
        powers = range(math.floor(math.log10(self.least)), math.ceil(math.log10(self.most)) + 1)
        values = [step * 10.0**power for power in powers for step in STEPS]
        return [value for value in values if self.least <= value <= self.most]


def score_axis(metric: MetricFacts, values: Sequence[float]) -> ScoreAxis:
    """Returns the axis that shows all of these values; of a fraction, 1 is at half the least other error."""
    if not metric.is_fraction:
        return ScoreAxis(metric, min(values, default=0.0), max(values, default=1.0))
    errors = [1 - value for value in values]
    positive = [error for error in errors if error > 0] or [0.01]
    least = min(positive) / 2 if min(errors) <= 0 else min(positive)
    return ScoreAxis(metric, least, max(*positive, 1.05 * least))
