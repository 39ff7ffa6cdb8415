"""The axis of accuracy that figures of many trials share: a logarithmic one of the error.

On it 1 and 2 % of error are as far apart as 10 and 20 %: the few trials that collapsed do not flatten all others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from search.report.figures import Figure
from search.report.numbers import percent_text

MARGIN = 0.06  # of what is shown
TICKS = (0, 20, 40, 50, 60, 70, 75, 80, 85, 90, 92, 94, 95, 96, 97, 98, 98.5, 99, 99.5, 99.8, 99.9)  # %
MOST_TICKS = 6
FEW = 200  # points; more are drawn smaller


@dataclass(frozen=True)
class AccuracyAxis:
    """The least and the largest error that are shown, fractions; what is beyond lies at that end."""

    least: float
    most: float

    def place(self, accuracy: float) -> float:
        """Returns where an accuracy, a fraction, lies on the axis."""
        return -math.log10(min(max(1 - accuracy, self.least), self.most))

    @property
    def frame(self) -> Figure:
        """The axis as a layout has it."""
        low, high = -math.log10(self.most), -math.log10(self.least)
        ticks = self._ticks((high - low) / MOST_TICKS)
        margin = MARGIN * (high - low)
        return {
            "range": [low - margin, high + margin],
            "tickvals": [self.place(tick / 100) for tick in ticks],
            "ticktext": [f"{tick:.4g}" for tick in ticks],
        }

    def points(
        self, x: Sequence[float], accuracy: Sequence[float], name: str, colour: str, said: Sequence[str]
    ) -> Figure:
        """Returns a trace of trials: accuracies as fractions, and what each says beside its own."""
        few = len(x) <= FEW
        return {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": list(x),
            "y": [self.place(value) for value in accuracy],
            "text": [f"{percent_text(value)}<br>{text}" for value, text in zip(accuracy, said, strict=True)],
            "hovertemplate": "%{text}<extra></extra>",
            "marker": {"color": colour, "size": 6 if few else 5, "opacity": 0.6 if few else 0.4, "line": {"width": 0}},
        }

    def _ticks(self, apart: float) -> list[float]:
        """Percentages to label, none nearer to the one before than `apart`; both ends where there are no round ones."""
        found: list[float] = []
        for tick in TICKS:
            inside = self.least <= 1 - tick / 100 <= self.most
            if inside and (not found or self.place(tick / 100) - self.place(found[-1] / 100) >= apart):
                found.append(tick)
        return found if len(found) > 1 else [100 * (1 - self.most), 100 * (1 - self.least)]


def accuracy_axis(accuracy: Sequence[float]) -> AccuracyAxis:
    """Returns the axis that shows all of these accuracies, fractions; 1 is at half the least other error."""
    errors = [1 - value for value in accuracy]
    known = [error for error in errors if error > 0] or [0.01]
    least = min(known) / 2 if min(errors) <= 0 else min(known)
    return AccuracyAxis(least, max(*known, 1.05 * least))
