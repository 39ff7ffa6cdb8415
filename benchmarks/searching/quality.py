"""How good what a study found is, after so many evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.searching.play import Played
from benchmarks.searching.problem import Problem
from search.candidates.pareto import hypervolume


def quality(problem: Problem, played: Played, evaluations: int) -> dict[str, float]:
    """Returns the hypervolume, and the best accuracy under each limit, of the first `evaluations`.

    The hypervolume is of the box from the smallest candidate's figure to the largest limit and from the problem's floor
    to its ceiling, as a fraction of that box.
    """
    accuracies, figures = played.accuracies[:evaluations], played.figures[:evaluations]
    least, most = float(problem.figures([problem.space.smallest])[problem.figure][0]), max(problem.limits)
    points = np.column_stack(
        [(problem.ceiling - accuracies) / (problem.ceiling - problem.floor), (figures - least) / (most - least)]
    )
    best = {f"best under {limit:.4g}": _best(accuracies[figures <= limit]) for limit in problem.limits}
    return {"hypervolume": hypervolume(points, (1.0, 1.0)), **best}


def _best(accuracies: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    return float(accuracies.max()) if len(accuracies) else float("nan")


def spread_text(values: Sequence[float], digits: int) -> str:
    """Returns mean and standard deviation over seeds, such as "0.737 ± 0.003"."""
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.{digits}f}"
