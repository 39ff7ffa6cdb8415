"""Timing: clocks, the sentinel, the summary of the visits to one network, and whether the visits agree."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from msgspec import Meta, structs
from torch import nn

from ofa.errors import InvalidInput, nearest
from ofa.records import AtLeastOne, Part
from search.device.standalone.machine import OK_WITHIN as OK_WITHIN
from search.device.standalone.machine import QUANTILE as QUANTILE
from search.device.standalone.machine import Floats as Floats
from search.device.standalone.machine import disagreement as disagreement

NOISY_ABOVE = 0.05

REJECTED_ABOVE = 0.15

# Beside two busy processes rounds are so slow that only six of forty are done, and single networks were 28 % off while
# the halves of the rounds agreed within 4 %.
TRUSTED_VISITS = 8

# Of the time. Alone on a machine of two cores it is below .5 %, beside one busy process below 5, beside two 7 to 37.
INTERRUPTED_ABOVE = 0.05

Verdict = Literal["ok", "more visits", "noisy", "reject"]

Milliseconds = Annotated[float, Meta(gt=0, le=1e8)]

Spread = Annotated[float, Meta(ge=0, le=1e8)]


class Timing(Part, frozen=True, kw_only=False, omit_defaults=True):
    """The latency of one network, in ms per run at batch 1, drift divided out, with its spread over the visits."""

    ms: Milliseconds  # the quantile `QUANTILE` over visits of the fastest run in a visit
    low_ms: Milliseconds  # the 10 % quantile
    median_ms: Milliseconds
    spread_ms: Spread  # between the quartiles
    raw_ms: Milliseconds  # as `ms`, with the drift left in
    visits: AtLeastOne
    cpu_ms: Milliseconds | None = None  # as `ms`, by the process's clock; None where not read

    def scaled(self, factor: float) -> Timing:
        """Returns the Timing with its times multiplied, except the raw time."""
        names = ("ms", "low_ms", "median_ms", "spread_ms", *(() if self.cpu_ms is None else ("cpu_ms",)))
        times = {name: factor * getattr(self, name) for name in names}
        return structs.replace(self, **times)


@dataclass(frozen=True)
class Measurement:
    """The Timings of several networks visited in turn, and how far to trust them."""

    timings: tuple[Timing, ...]  # in the order of the networks
    sentinel: Timing  # the fixed network that was visited with them
    drift: float  # fraction that the sentinel slowed between its fastest and slowest stretch
    disagreement: float  # mean relative difference between odd and even visits, a fraction
    clock: str
    seconds: float  # how long it took
    pieces: tuple[Timing | None, ...] = ()  # timings of parts of networks; None where the runtime refused one
    cut_short: bool = False  # the time was up before there were enough visits to trust a low quantile
    interrupted: float | None = None  # share of the time in which others had the processor; None where unknown

    @property
    def ms(self) -> Floats:
        """The latencies (N,) in ms."""
        return np.array([timing.ms for timing in self.timings])

    @property
    def verdict(self) -> Verdict:
        """ "ok", "more visits", "noisy" or "reject", from the disagreement.

        At best "noisy" where it was cut short, or others had the processor for more than 5 % of the time: halves of
        the rounds do not reveal what slows all rounds equally.
        """
        by_disagreement = verdict(self.disagreement)
        doubtful = self.cut_short or (self.interrupted or 0.0) > INTERRUPTED_ABOVE
        return "noisy" if doubtful and by_disagreement in ("ok", "more visits") else by_disagreement


def verdict(disagreement: float) -> Verdict:
    """Returns "ok" up to 2 % disagreement, "more visits" up to 5 %, "noisy" up to 15 %, and "reject" above."""
    if disagreement <= OK_WITHIN:
        return "ok"
    if disagreement <= NOISY_ABOVE:
        return "more visits"
    return "noisy" if disagreement <= REJECTED_ABOVE else "reject"


def summarize(samples: Floats, raw: Floats) -> Timing:
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


@dataclass(frozen=True)
class Clock:
    """A named function that returns seconds; tests pass a synthetic one."""

    name: str
    seconds: Callable[[], float]


WALL = Clock("wall", time.perf_counter)

# The processor time of all threads of this process: blind to other processes, so right for runtimes that
# compute on one thread of this one; wrong for GPUs and many threads.
CPU = Clock("cpu", time.process_time)


def clock_named(name: str) -> Clock:
    """Returns the wall or the CPU clock.

    Raises:
        InvalidInput: an unknown name.
    """
    clocks = {clock.name: clock for clock in (WALL, CPU)}
    if name not in clocks:
        raise InvalidInput(f"clock={name!r} is not a clock; {nearest(str(name), clocks)}")
    return clocks[name]


SENTINEL_NAME = "sentinel-1"  # change it with the network: profiles with another sentinel cannot be compared


class Sentinel(nn.Module):
    """Four convolutions, one of them depthwise, on a fixed image: (1, 16, 16, 16) to (1, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1, groups=32),
            nn.ReLU(),
            nn.Conv2d(32, 64, 1),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1, stride=2),
            nn.ReLU(),
        )
        self.head = nn.Linear(64, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns logits (N, 10)."""
        features: torch.Tensor = self.body(images).mean((2, 3))
        logits: torch.Tensor = self.head(features)
        return logits


def sentinel() -> tuple[nn.Module, torch.Tensor]:
    """Returns the sentinel in eval mode and its input; weights are constant, no generator is touched."""
    net = Sentinel().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(0.01)
    return net, torch.ones(1, 16, 16, 16)
