"""Timing: what the visits to one network come to, and whether they agree."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from search.device.standalone.agreement import OK_WITHIN as OK_WITHIN
from search.device.standalone.agreement import QUANTILE as QUANTILE
from search.device.standalone.agreement import Floats as Floats
from search.device.standalone.agreement import disagreement as disagreement

NOISY_ABOVE = 0.05
REJECTED_ABOVE = 0.15
# Beside two busy processes rounds take so long that six are made of forty, and single networks came out 28 % off while
# halves of the rounds agreed within 4 %.
TRUSTED_VISITS = 8
# Of the time. Alone on a machine of two cores it is below .5 %, beside one busy process below 5, beside two 7 to 37.
INTERRUPTED_ABOVE = 0.05
FEWEST_VISITS = 4  # two odd and two even ones


@dataclass(frozen=True)
class Timing:
    """What one network takes, in ms a run at batch 1, drift divided out; spread over the visits beside it."""

    ms: float  # the quantile `QUANTILE` over visits of the fastest run in a visit
    low_ms: float  # the 10 % quantile
    median_ms: float
    spread_ms: float  # between the quartiles
    raw_ms: float  # as `ms`, with the drift left in: what the clock said
    visits: int
    cpu_ms: float | None = None  # as `ms`, by the clock of the process; None where that was not read

    def scaled(self, factor: float) -> Timing:
        """Returns the Timing with its times, but not what the clock said, multiplied."""
        names = ("ms", "low_ms", "median_ms", "spread_ms", *(() if self.cpu_ms is None else ("cpu_ms",)))
        times = {name: factor * getattr(self, name) for name in names}
        return replace(self, **times)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return {key: value for key, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Measurement:
    """The Timings of several networks visited in turn, and how far to trust them."""

    timings: tuple[Timing, ...]  # in the order of the networks
    sentinel: Timing  # the fixed network that was visited with them
    drift: float  # fraction that the sentinel slowed between its fastest and slowest stretch
    disagreement: float  # mean relative difference between odd and even visits, a fraction
    clock: str
    seconds: float  # how long it took
    pieces: tuple[Timing | None, ...] = ()  # of parts of networks; None where the runtime refused one
    cut_short: bool = False  # the time was up before enough visits were made to trust a low quantile of them
    interrupted: float | None = None  # share of the time in which others had the processor; None where unknown

    @property
    def ms(self) -> Floats:
        """The latencies (N,) in ms."""
        return np.array([timing.ms for timing in self.timings])

    @property
    def verdict(self) -> str:
        """ "ok", "more visits", "noisy" or "reject", from the disagreement.

        At best "noisy" where it was cut short, or others had the processor for more than 5 % of the time: what
        slows all rounds alike no halves of them tell.
        """
        found = verdict(self.disagreement)
        doubtful = self.cut_short or (self.interrupted or 0.0) > INTERRUPTED_ABOVE
        return "noisy" if doubtful and found in ("ok", "more visits") else found


def verdict(disagreement: float) -> str:
    """Returns "ok" up to 2 % disagreement, "more visits" up to 5 %, "noisy" up to 15 %, and "reject" above."""
    if disagreement <= OK_WITHIN:
        return "ok"
    if disagreement <= NOISY_ABOVE:
        return "more visits"
    return "noisy" if disagreement <= REJECTED_ABOVE else "reject"


def summarise(samples: Floats, raw: Floats) -> Timing:
    """Returns the Timing of one network from its visits (V,) in ms, without and with the drift."""
    low, quarter, median, upper = np.quantile(samples, [0.1, QUANTILE, 0.5, 0.75])
    return Timing(
        ms=float(quarter),
        low_ms=float(low),
        median_ms=float(median),
        spread_ms=float(upper - quarter),
        raw_ms=float(np.quantile(raw, QUANTILE)),
        visits=len(samples),
    )
