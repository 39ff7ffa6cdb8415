"""What changes over a training: the learning rate, and the phases of progressive shrinking.

A learning rate schedule is a function of (step, total steps) that returns a factor on the optimizer's rates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from itertools import accumulate
from typing import Any

from ofa.choice import Choice
from ofa.errors import InvalidInput, nearest
from ofa.space import Space

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


@dataclass(frozen=True)
class Phase:
    """One phase: how long it lasts, which values of each kind of choice are open, how it learns.

    Attributes:
        fraction: share of the training's steps; the fractions of all phases sum to 1.
        kernel_size, depth, width, resolution: how many of the largest values are open. 1: only the largest; None: all.
            Resolutions are all open unless said otherwise, as published; operators always are.
        subnets: networks drawn per step.
        distill: weight of the loss against the logits of the current largest network. 0: labels alone.
        learning_rate: factor on the optimizer's learning rate, applied by the schedule `restarts`.
        sort_channels: reorder channels by importance when the phase starts, so that narrow networks keep the
            best.
    """

    fraction: float
    kernel_size: int | None = 1
    depth: int | None = 1
    width: int | None = 1
    resolution: int | None = None
    subnets: int = 1
    distill: float = 1.0
    learning_rate: float = 1.0
    sort_channels: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise InvalidInput(f"fraction {self.fraction!r} of a phase must be more than 0 and at most 1")
        for name in ("kernel_size", "depth", "width", "resolution"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise InvalidInput(f"{name}={count!r} of a phase: open at least 1 value, or null for all")
        if self.subnets < 1:
            raise InvalidInput(f"subnets={self.subnets!r} of a phase: draw at least 1 per step")


@dataclass(frozen=True)
class Span:
    """A phase with its first step and the step after its last."""

    phase: Phase
    start: int
    end: int


def as_phases(phases: Sequence[Phase | Mapping[str, Any]]) -> tuple[Phase, ...]:
    """Returns `phases` as Phases, mappings (of a config) included.

    Raises:
        InvalidInput: no phase, an unknown field, or fractions that do not sum to 1.
    """
    known = [field.name for field in fields(Phase)]
    for phase in phases:
        for name in phase if isinstance(phase, Mapping) else ():
            if name not in known:
                raise InvalidInput(f"{name!r} is not a field of a phase; {nearest(str(name), known)}")
    all_phases = tuple(Phase(**phase) if isinstance(phase, Mapping) else phase for phase in phases)
    if not math.isclose(sum(phase.fraction for phase in all_phases), 1.0, abs_tol=1e-6):
        shares = ", ".join(f"{phase.fraction:g}" for phase in all_phases)
        raise InvalidInput(f"the fractions of the phases ({shares}) must sum to 1")
    return all_phases


def span_at(phases: tuple[Phase, ...], step: int, total_steps: int) -> Span:
    """Returns the phase of `step` and its first and last steps; boundaries are rounded to whole steps."""
    ends = [round(share * total_steps) for share in accumulate(phase.fraction for phase in phases)]
    ends[-1] = total_steps
    for phase, start, end in zip(phases, [0, *ends], ends, strict=False):
        if step < end:
            return Span(phase, start, end)
    return Span(phases[-1], [0, *ends][-2], ends[-1])


@lru_cache(maxsize=64)
def opened(space: Space, phase: Phase) -> Space:
    """Returns `space` with the smaller values that `phase` keeps closed taken away."""
    return Space(tuple(_opened(choice, getattr(phase, choice.kind, None)) for choice in space.choices))


def _opened(choice: Choice, count: int | None) -> Choice:
    return choice if count is None else replace(choice, values=choice.values[-count:])


OFA_PHASES = (
    # Shares of 605 epochs and learning rates against 2.6 (Cai et al. 2020, 1908.09791, appendix B); depth and
    # width are opened by one value, then wholly.
    Phase(0.29, distill=0.0),
    Phase(0.21, kernel_size=None, learning_rate=0.37),
    Phase(0.04, kernel_size=None, depth=2, subnets=2, learning_rate=0.03),
    Phase(0.21, kernel_size=None, depth=None, subnets=2, learning_rate=0.09),
    Phase(0.04, kernel_size=None, depth=None, width=2, subnets=4, learning_rate=0.03, sort_channels=True),
    Phase(0.21, kernel_size=None, depth=None, width=None, subnets=4, learning_rate=0.09, sort_channels=True),
)


def restarts(
    step: int, total_steps: int, *, phases: Sequence[Phase | Mapping[str, Any]], within: Schedule = cosine
) -> float:
    """Returns the factor of a schedule that starts anew in each phase, times that phase's `learning_rate`.

    `within` sees steps counted from the start of the phase. Give the same `phases` as to the strategy
    `progressive`.
    """
    span = span_at(as_phases(phases), step, total_steps)
    return span.phase.learning_rate * within(step - span.start, span.end - span.start)
