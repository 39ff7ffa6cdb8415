"""Agreement: what rounds of visits say about each other, the drift of the machine and how far halves are apart.

Only the standard library and NumPy: also part of the script that measures on a device without this toolkit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]

QUANTILE = 0.25  # a low quantile: the mean was off by 56 % and the minimum by 2.8 % where this one was by 0.8 %
OK_WITHIN = 0.02
DRIFT_WINDOW = 5  # rounds: the sentinel's own noise is smoothed before it is divided out


def drift(sentinel_ms: Floats) -> Floats:
    """Returns how slow the machine was in each round: the sentinel's visits (V,) in ms to factors around 1.

    A low quantile over a few neighbouring rounds: a disturbed visit of the sentinel must not bend the others.
    """
    reach = DRIFT_WINDOW // 2
    smooth = np.array(
        [np.quantile(sentinel_ms[max(0, i - reach) : i + reach + 1], QUANTILE) for i in range(len(sentinel_ms))]
    )
    factors: Floats = smooth / np.quantile(smooth, QUANTILE)
    return factors


def disagreement(samples: Floats) -> float:
    """Returns how far odd and even visits are apart: samples (V, N) in ms to a mean relative difference.

    Two halves of the same minutes should say the same; nothing else reveals a busy machine.
    """
    odd, even = (np.quantile(samples[start::2], QUANTILE, axis=0) for start in (1, 0))
    return float(np.mean(np.abs(odd - even) / (0.5 * (odd + even))))
