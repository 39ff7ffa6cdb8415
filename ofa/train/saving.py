"""When a training writes its checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable

from ofa.errors import InvalidInput


def when(seconds: float | None, steps: int | None) -> Callable[[int], bool]:
    """Returns a function of the steps done that says whether a checkpoint is due, by time or by count.

    Raises:
        InvalidInput: seconds below 0, or steps below 1.
    """
    if seconds is not None and not seconds >= 0:
        raise InvalidInput(f"checkpoint_seconds={seconds!r} must be 0 or more, or null for never")
    if steps is not None and steps < 1:
        raise InvalidInput(f"checkpoint_steps={steps!r} must be at least 1, or null for never")
    last = time.monotonic()

    def due(step: int) -> bool:
        nonlocal last
        now = time.monotonic()
        by_time = seconds is not None and now - last >= seconds
        if by_time:
            last = now
        return by_time or (steps is not None and step % steps == 0)

    return due
