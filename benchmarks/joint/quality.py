"""How good what a way found is: the best accuracy under limits on latency and bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from search.candidates.pareto import non_dominated

GRID = 12  # limits a figure, evenly spaced in the logarithm
Row = Mapping[str, Any]


def front_of(rows: Sequence[Row]) -> list[Row]:
    """Returns the rows that no other one beats in accuracy on validation, latency and bytes together."""
    points = np.array([[-row["accuracy"], row["latency_ms"], row["bytes"]] for row in rows])
    return [row for row, kept in zip(rows, non_dominated(points), strict=True) if kept]


def best_under(rows: Sequence[Row], limits: Mapping[str, float]) -> Row | None:
    """Returns the row of best accuracy on validation that keeps all limits, None where none does."""
    kept = [row for row in rows if all(row[name] <= limit for name, limit in limits.items())]
    return max(kept, key=lambda row: float(row["accuracy"]), default=None)


def mean_over_limits(rows: Sequence[Row], ranges: Mapping[str, tuple[float, float]], chance: float) -> dict[str, float]:
    """Returns the mean of the best "accuracy" on validation, and of its "test" accuracy, over a grid of limits.

    The grid has every figure's range in even steps of its logarithm. Where nothing keeps the limits the accuracy is
    that of chance. Over an ever finer grid this is the hypervolume.
    """
    axes = [np.geomspace(low, high, GRID) for low, high in ranges.values()]
    found = [
        best_under(rows, dict(zip(ranges, map(float, limits), strict=True)))
        for limits in np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, len(axes))
    ]
    return {
        name: float(np.mean([chance if row is None else float(row[name]) for row in found]))
        for name in ("accuracy", "test")
    }
