"""Learning rate schedules: functions of (step, total steps) that return a factor on the optimizer's rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ofa.train.phases import Phase, as_phases, span_at

Schedule = Callable[[int, int], float]


def constant(step: int, total_steps: int) -> float:
    """Returns 1: the learning rate stays what the optimizer was given."""
    return 1.0


def cosine(step: int, total_steps: int, *, warmup: float = 0.05, final: float = 0.0) -> float:
    """Returns a factor that rises linearly over the `warmup` (fraction of the steps), then falls as a cosine.

    The factor is 1 at the end of the warm-up and would reach `final` at step `total_steps`.
    Source: Loshchilov and Hutter 2017, 1608.03983.
    """
    warmup_steps = math.floor(warmup * total_steps)
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * done))


def restarts(
    step: int, total_steps: int, *, phases: Sequence[Phase | Mapping[str, Any]], within: Schedule = cosine
) -> float:
    """Returns the factor of a schedule that starts anew in each phase, times that phase's `learning_rate`.

    `within` sees steps counted from the start of the phase. Give the same `phases` as to the strategy
    `progressive`.
    """
    span = span_at(as_phases(phases), step, total_steps)
    return span.phase.learning_rate * within(step - span.start, span.end - span.start)
