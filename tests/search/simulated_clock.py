"""Latency without a clock: runtimes that say how long they take, so that no figure hangs on what else runs here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.killing.simulated_device import TICK, let_pass, use_simulated_clock
from search.device.timing import CPU, WALL


@contextmanager
def simulated_clock() -> Iterator[None]:
    """Measures by the time that runtimes let pass."""
    before = [(clock, clock.seconds) for clock in (WALL, CPU)]
    use_simulated_clock()
    try:
        yield
    finally:
        for clock, seconds in before:
            object.__setattr__(clock, "seconds", seconds)


def run_of(microseconds: float) -> Callable[[], None]:
    """Returns a run that takes so long by the simulated clock."""
    ticks = round(1e-6 * microseconds / TICK)
    return lambda: let_pass(ticks)
