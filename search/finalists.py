"""Finalists: for every target the most accurate candidate whose measured latencies meet it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ofa.arch import Arch
from ofa.errors import InvalidInput
from search.candidate import Candidate, Setting
from search.figures import LATENCY, device_of, is_latency
from search.limits import Target, check_target, target_text
from search.trials import TrialRow

# By the name of a device's latency figure the ms of each Arch, measured together.
Measure = Callable[[Sequence[Arch]], Mapping[str, Sequence[float]]]


@dataclass(frozen=True)
class Measured:
    """A candidate that was measured: accuracy is of validation, a fraction.

    Attributes:
        predicted, measured: ms by the name of the latency figure, the first device's first.
        figures: the other figures of the Arch by name, exact.
        settings: of its fine-tuning; none where there was none.
    """

    arch: Arch
    trial: int
    accuracy: float
    predicted: Mapping[str, float]
    measured: Mapping[str, float]
    figures: Mapping[str, float]
    settings: Mapping[str, Setting] = field(default_factory=dict)

    @property
    def predicted_ms(self) -> float:
        """What was predicted for the first device."""
        return next(iter(self.predicted.values()))

    @property
    def measured_ms(self) -> float:
        """What was measured on the first device."""
        return next(iter(self.measured.values()))

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values, with the first device's ms under names of their own."""
        return {
            "arch": self.arch.to_dict(),
            "trial": self.trial,
            "accuracy": self.accuracy,
            "predicted_ms": self.predicted_ms,
            "measured_ms": self.measured_ms,
            "predicted": dict(self.predicted),
            "measured": dict(self.measured),
            "figures": dict(self.figures),
            **({"settings": dict(self.settings)} if self.settings else {}),
        }


@dataclass(frozen=True)
class Finalist:
    """The candidate taken for a target, and those tried before it that measured over a limit."""

    target: Target
    chosen: Measured
    missed: tuple[Measured, ...]

    @property
    def margin(self) -> float | None:
        """How far below the limit it measured, a fraction of the limit: the least of all; None without any."""
        return min((1 - share for share in _shares(self.chosen, self.target)), default=None)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return {
            "target": dict(self.target),
            "margin": self.margin,
            "chosen": self.chosen.to_dict(),
            "missed": [one.to_dict() for one in self.missed],
        }


def choose_finalists(
    rows: Sequence[TrialRow],
    targets: Sequence[Target],
    measure: Measure,
    *,
    latencies: Sequence[str] = (LATENCY,),
    top: int = 3,
    spare: float = 0.0,
) -> list[Finalist]:
    """Returns a Finalist a target, in order of the targets.

    The `top` candidates of every target not served yet are measured together, the next ones where all of them
    miss. A target without a latency limit takes its most accurate candidate, which is measured too.

    Args:
        latencies: the latency figures that `measure` gives, one a device.
        spare: the fraction of a latency limit that a measurement must leave.

    Raises:
        InvalidInput: no candidate meets a target; the nearest is named.
    """
    for target in targets:
        if missing := [name for name in check_target(target) if is_latency(name) and name not in latencies]:
            raise InvalidInput(f"target {dict(target)} has {missing[0]}: measured are {', '.join(latencies)}")
    if not 0 <= spare < 1 or top < 1:
        raise InvalidInput(f"spare={spare!r} must be a fraction below 1, and top={top!r} at least 1")
    queues = [candidates_for(rows, target, latencies) for target in targets]
    tops = [top if any(map(is_latency, target)) else 1 for target in targets]
    measured: dict[Arch, dict[str, float]] = {}
    found: list[Finalist | None] = [None] * len(targets)
    for step in range(1, 1 + max(map(len, queues), default=0)):
        unserved = [index for index, finalist in enumerate(found) if finalist is None]
        ends = {index: step * tops[index] for index in unserved}
        asked = {row.arch: None for index in unserved for row in queues[index][: ends[index]] if row.arch}
        new = [arch for arch in asked if arch not in measured]
        if new:
            times = measure(new)
            measured |= {
                arch: {name: float(times[name][index]) for name in latencies} for index, arch in enumerate(new)
            }
        for index in unserved:
            found[index] = _first_that_meets(queues[index][: ends[index]], targets[index], measured, spare)
        if None not in found:
            break
    served = [finalist for finalist in found if finalist is not None]
    if len(served) < len(targets):
        index = found.index(None)
        raise InvalidInput(_none_meets(targets[index], queues[index], measured, spare))
    return served


def candidates_for(rows: Sequence[TrialRow], target: Target, latencies: Sequence[str]) -> list[TrialRow]:
    """Returns the evaluated candidates that keep a target by prediction, most accurate first, then quickest."""
    best: dict[Candidate, TrialRow] = {}
    for row in rows:
        kept = row.state == "evaluated" and all(row.figures[name] <= limit for name, limit in target.items())
        if row.candidate is not None and kept:
            best.setdefault(row.candidate, row)
    return sorted(best.values(), key=lambda row: (-(row.accuracy or 0.0), *(row.figures[name] for name in latencies)))


def _first_that_meets(
    queue: Sequence[TrialRow], target: Target, measured: Mapping[Arch, Mapping[str, float]], spare: float
) -> Finalist | None:
    missed: list[Measured] = []
    for row in queue:
        one = _measured(row, measured)
        if all(one.measured[name] <= target[name] * (1 - spare) for name in one.measured if name in target):
            return Finalist(target, one, tuple(missed))
        missed.append(one)
    return None


def _measured(row: TrialRow, measured: Mapping[Arch, Mapping[str, float]]) -> Measured:
    assert row.arch is not None  # candidates_for has seen to both
    assert row.accuracy is not None
    times = measured[row.arch]
    predicted = {name: row.figures[name] for name in times}
    others = {name: value for name, value in row.figures.items() if name not in times}
    return Measured(row.arch, row.number, row.accuracy, predicted, times, others, row.settings)


def _shares(one: Measured, target: Target) -> list[float]:
    """What was measured, as fractions of the latency limits."""
    return [ms / target[name] for name, ms in one.measured.items() if name in target]


def _none_meets(
    target: Target, queue: Sequence[TrialRow], measured: Mapping[Arch, Mapping[str, float]], spare: float
) -> str:
    limit = target_text(target) or "no limit"
    if not queue:
        return f"{limit}: no evaluated subnet is predicted to meet it; search longer or loosen it"
    nearest = min((_measured(row, measured) for row in queue), key=lambda one: max(_shares(one, target)))
    kept = f" with {spare:.1%} to spare" if spare else ""
    return (
        f"{limit}: none of {len(queue)} candidates measured within it{kept}; the nearest is trial "
        f"{nearest.trial} at {_times_text(nearest.measured)} (predicted {_times_text(nearest.predicted)}, "
        f"accuracy {nearest.accuracy:.4f})"
    )


def _times_text(times: Mapping[str, float]) -> str:
    """Milliseconds, with their devices where there are several."""
    on = {name: f" on {device_of(name)}" if device_of(name) else "" for name in times}
    return " and ".join(f"{ms:.4g} ms{on[name]}" for name, ms in times.items())
