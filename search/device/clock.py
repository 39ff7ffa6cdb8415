"""Clocks: functions that return seconds, named so that a profile can say which one was read."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ofa.errors import InvalidInput, nearest


@dataclass(frozen=True)
class Clock:
    """A named function that returns seconds; tests give a synthetic one."""

    name: str
    seconds: Callable[[], float]


WALL = Clock("wall", time.perf_counter)
# The processor time of all threads of this process: blind to other processes, so right for runtimes that
# compute on one thread of this one; wrong for GPUs and many threads.
CPU = Clock("cpu", time.process_time)


def clock_named(name: str) -> Clock:
    """Returns the wall or the CPU clock.

    Raises:
        InvalidInput: another name.
    """
    clocks = {clock.name: clock for clock in (WALL, CPU)}
    if name not in clocks:
        raise InvalidInput(f"clock={name!r} is not a clock; {nearest(str(name), clocks)}")
    return clocks[name]
