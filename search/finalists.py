"""Finalists: for every limit the most accurate candidate whose measured latency meets it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ofa.arch import Arch
from ofa.errors import InvalidInput
from search.limits import Target, check_target
from search.trials import TrialRow

Measure = Callable[[Sequence[Arch]], Sequence[float]]  # ms of each, measured together


@dataclass(frozen=True)
class Measured:
    """A candidate that was measured: its accuracy (fraction, validation), predicted and measured ms."""

    arch: Arch
    trial: int
    accuracy: float
    predicted_ms: float
    measured_ms: float

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return {**vars(self), "arch": self.arch.to_dict()}


@dataclass(frozen=True)
class Finalist:
    """The candidate taken for a target, and those tried before it that measured over the limit."""

    target: Target
    chosen: Measured
    missed: tuple[Measured, ...]

    @property
    def limit_ms(self) -> float:
        """The latency limit."""
        return self.target["latency_ms"]

    @property
    def margin(self) -> float:
        """How far below the limit it measured, a fraction of the limit."""
        return 1 - self.chosen.measured_ms / self.limit_ms

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return {
            "target": dict(self.target),
            "margin": self.margin,
            "chosen": self.chosen.to_dict(),
            "missed": [one.to_dict() for one in self.missed],
        }


def choose_finalists(
    rows: Sequence[TrialRow], targets: Sequence[Target], measure: Measure, *, top: int = 3, spare: float = 0.0
) -> list[Finalist]:
    """Returns a Finalist a target, in order of the targets.

    The `top` candidates of every target not served yet are measured together, the next ones where all of them
    miss. `spare` is the fraction of a limit that a measurement must leave.

    Raises:
        InvalidInput: no candidate meets a target; the nearest is named.
    """
    for target in targets:
        if "latency_ms" not in check_target(target):
            raise InvalidInput(f"target {dict(target)} has no latency_ms: nothing to measure it against")
    if not 0 <= spare < 1 or top < 1:
        raise InvalidInput(f"spare={spare!r} must be a fraction below 1, and top={top!r} at least 1")
    queues = [_candidates(rows, target) for target in targets]
    measured: dict[Arch, float] = {}
    found: list[Finalist | None] = [None] * len(targets)
    for start in range(0, max(map(len, queues), default=0), top):
        unserved = [index for index, finalist in enumerate(found) if finalist is None]
        asked = {row.arch: None for index in unserved for row in queues[index][start : start + top] if row.arch}
        new = [arch for arch in asked if arch not in measured]
        if new:
            measured |= dict(zip(new, map(float, measure(new)), strict=True))
        for index in unserved:
            found[index] = _first_that_meets(queues[index][: start + top], targets[index], measured, spare)
        if None not in found:
            break
    served = [finalist for finalist in found if finalist is not None]
    if len(served) < len(targets):
        index = found.index(None)
        raise InvalidInput(_none_meets(targets[index], queues[index], measured, spare))
    return served


def _candidates(rows: Sequence[TrialRow], target: Target) -> list[TrialRow]:
    """Evaluated Archs that keep the target by prediction, most accurate first, quicker first where equal."""
    best: dict[Arch, TrialRow] = {}
    for row in rows:
        kept = row.accuracy is not None and all(row.figures[name] <= limit for name, limit in target.items())
        if row.arch is not None and kept:
            best.setdefault(row.arch, row)
    return sorted(best.values(), key=lambda row: (-(row.accuracy or 0.0), row.figures["latency_ms"]))


def _first_that_meets(
    queue: Sequence[TrialRow], target: Target, measured: dict[Arch, float], spare: float
) -> Finalist | None:
    missed: list[Measured] = []
    for row in queue:
        one = _measured(row, measured)
        if one.measured_ms <= target["latency_ms"] * (1 - spare):
            return Finalist(target, one, tuple(missed))
        missed.append(one)
    return None


def _measured(row: TrialRow, measured: dict[Arch, float]) -> Measured:
    assert row.arch is not None  # _candidates has seen to both
    assert row.accuracy is not None
    return Measured(row.arch, row.number, row.accuracy, row.figures["latency_ms"], measured[row.arch])


def _none_meets(target: Target, queue: Sequence[TrialRow], measured: dict[Arch, float], spare: float) -> str:
    limit = f"latency_ms={target['latency_ms']:.4g}"
    if not queue:
        return f"{limit}: no evaluated subnet is predicted to meet it; search longer or loosen it"
    nearest = min((_measured(row, measured) for row in queue), key=lambda one: one.measured_ms)
    kept = f" with {spare:.1%} to spare" if spare else ""
    return (
        f"{limit}: none of {len(queue)} candidates measured within it{kept}; the nearest is trial "
        f"{nearest.trial} at {nearest.measured_ms:.4g} ms (predicted {nearest.predicted_ms:.4g} ms, "
        f"accuracy {nearest.accuracy:.4f})"
    )
