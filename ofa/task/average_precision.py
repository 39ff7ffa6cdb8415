"""Average precision: how well scores put the examples that have a label before those that lack it."""

from __future__ import annotations

import torch
from torch import Tensor


def average_precisions(scores: Tensor, targets: Tensor, times: Tensor) -> Tensor:
    """Returns the average precision of each label, (R, labels) float64; NaN of labels that no example has.

    The sum over thresholds of the step in recall times the precision; examples of equal scores pass a threshold
    together, and nothing is interpolated, as in scikit-learn.

    Args:
        scores: (N, labels), higher for what more likely has the label.
        targets: (N, labels) bool.
        times: (R, N), how often each example counts, in each of R draws.
    """
    falling, order = scores.T.sort(dim=1, descending=True, stable=True)
    have = targets.T.gather(1, order)
    rising = (-falling).contiguous()
    last = torch.searchsorted(rising, rising, right=True) - 1  # of the examples with the same score
    result = torch.empty(len(times), len(have), dtype=torch.float64)
    for row, each in enumerate(times.double()):
        counts = each[order]
        hits, seen = (have * counts).cumsum(dim=1), counts.cumsum(dim=1)
        precision = hits.gather(1, last) / seen.gather(1, last).clamp(min=1)
        result[row] = (have * counts * precision).sum(dim=1) / hits[:, -1]
    return result
