"""Clusters of values on a line with the least squared error, by dynamic programming."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def exact_edges(values: NDArray[np.float64], mass: NDArray[np.float64], clusters: int) -> NDArray[np.intp]:
    """Returns where the best clusters begin and end, (clusters + 1,), from 0 to N: cluster i is edges[i]:edges[i + 1].

    Rows of the table are filled by divide and conquer, all ranges of a depth at once: O(clusters N log N), since the
    place of the last edge never moves back as the end moves on.

    Source: Wang and Song 2011, Ckmeans.1d.dp; the quadrangle inequality is Yao's, 1980.

    Args:
        values: (N,), ascending, N at least `clusters`.
        mass: (N,), how much each counts, above 0.
    """
    count = len(values)
    centered = values - np.average(values, weights=mass)  # so that squares lose no digits
    sums = np.stack([np.concatenate([[0.0], np.cumsum(mass * centered**power)]) for power in (0, 1, 2)])

    def error(begin: NDArray[np.intp], end: NDArray[np.intp]) -> NDArray[np.float64]:
        weight, first, second = sums[:, end] - sums[:, begin]
        squares: NDArray[np.float64] = np.maximum(second - first**2 / weight, 0.0)
        return squares

    everything = np.arange(count + 1)
    # least[j]: the least error of the first j values in as many clusters as rows so far.
    least = np.full(count + 1, np.inf)
    least[1:] = error(np.zeros(count, dtype=np.intp), everything[1:])
    last_edges = np.zeros((clusters, count + 1), dtype=np.int32)
    for row in range(1, clusters):
        best = np.full(count + 1, np.inf)
        # Ranges of ends (first to last) whose best last edges lie from low to high.
        first, last = np.array([row + 1]), np.array([count])
        low, high = np.array([row]), np.array([count - 1])
        while len(first):
            middle = (first + last) // 2
            upper = np.minimum(high, middle - 1)
            lengths = upper - low + 1
            starts = np.cumsum(lengths) - lengths
            edge = np.arange(lengths.sum()) + np.repeat(low - starts, lengths)
            totals = least[edge] + error(edge, np.repeat(middle, lengths))
            best[middle] = np.minimum.reduceat(totals, starts)
            is_best = totals == np.repeat(best[middle], lengths)
            chosen = np.minimum.reduceat(np.where(is_best, edge, count), starts)
            last_edges[row, middle] = chosen
            first, last = np.concatenate([first, middle + 1]), np.concatenate([middle - 1, last])
            low, high = np.concatenate([low, chosen]), np.concatenate([chosen, high])
            some = first <= last
            first, last, low, high = first[some], last[some], low[some], high[some]
        least = best
    edges = [count]
    for row in range(clusters - 1, -1, -1):
        edges.append(int(last_edges[row, edges[-1]]))
    return np.array(edges[::-1], dtype=np.intp)
