"""Dominance: which of two subnets is better on a device under a limit, in what sense, and its wording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ofa.task import Score
from search.run.result_files import PairComparison, PurposeRow
from search.run.scores import combined_error
from search.text import cost_text, ms_text

MEETS = "meets the limit where the other does not"
BETTER_IN_BOTH = "quicker and better"
BETTER = "better within the limit"
QUICKER = "quicker and as good"
NOT_BETTER = "not better"

SAME_SUBNET = "both chose the same subnet"
SAME = "there is no difference beyond the noise"
OVER = "it is over the limit"
OF_THE_OTHER = {
    MEETS: "the other meets the limit where it does not",
    BETTER_IN_BOTH: "the other is quicker and better",
    BETTER: "the other is better within the limit",
    QUICKER: "the other is quicker and as good",
}


@dataclass(frozen=True)
class Side:
    """A subnet on one device: measured ms, and its quality on test, larger is better."""

    ms: float
    quality: float


@dataclass(frozen=True)
class Verdict:
    """Whether a device's own choice is better on that device, in what sense, and if not, why."""

    better: bool
    sense: str
    reason: str = ""


def advantage(first: Side, second: Side, limit_ms: float, *, same_time: float, same_score: float) -> str | None:
    """Returns in what sense `first` is better than `second` under `limit_ms`; None if in none.

    It never holds both ways: a subnet that is worse in a sense that counts is better in none.

    Args:
        same_time: times that differ by at most this fraction are the same.
        same_score: qualities that differ by at most this are the same.
    """
    quicker = first.ms < second.ms * (1 - same_time)
    better = first.quality - second.quality > same_score
    worse = second.quality - first.quality > same_score
    first_meets, second_meets = (meets(side.ms, limit_ms, same_time) for side in (first, second))
    # A limit between two equal times does not separate the subnets.
    if first_meets and not second_meets and quicker:
        return MEETS
    if quicker and better:
        return BETTER_IN_BOTH
    if better and first_meets:
        return BETTER
    return QUICKER if quicker and not worse else None


def decide(own: Side, other: Side, limit_ms: float, *, same_time: float, same_score: float) -> Verdict:
    """Returns the Verdict on a device's own choice against another device's choice; arguments as `advantage`."""
    sense = advantage(own, other, limit_ms, same_time=same_time, same_score=same_score)
    if sense is not None:
        return Verdict(True, sense)
    against = advantage(other, own, limit_ms, same_time=same_time, same_score=same_score)
    if against is not None:
        return Verdict(False, NOT_BETTER, OF_THE_OTHER[against])
    return Verdict(False, NOT_BETTER, SAME if meets(own.ms, limit_ms, same_time) else OVER)


def meets(ms: float, limit_ms: float, same_time: float) -> bool:
    """Returns whether a time meets a limit; a time within `same_time` of the limit does."""
    return ms * (1 - same_time) <= limit_ms


def resolution(first: Score, second: Score) -> float:
    """Returns the standard error of two scores of about the same size, their root mean square; 0 if unknown."""
    error = combined_error(first, second)
    return 0.0 if error is None else error / 2**0.5


def finding(alone: Sequence[str], pairs: Sequence[PairComparison], *, together: bool = False) -> str:
    """Returns how often a device's own choice is better there, in what sense, and what holds for the other comparisons.

    Args:
        alone: the devices with choices from a search of that device alone.
        pairs: the pairs of `search.subnets.compare.comparison`.
        together: whether there is a search of several devices at once.
    """
    if len(alone) < 2 and together:
        return "Devices were searched together: no two have choices of their own to compare."
    if len(alone) < 2:
        searched = f"Only {alone[0]} was searched" if alone else "No device was searched"
        return f"{searched}, so there is no other device's choice to compare with its own."
    if not pairs:
        return "No two devices were searched under comparable limits, so no choices were compared."
    if all(pair.reason == SAME_SUBNET for pair in pairs):
        return "The devices chose the same subnets under comparable limits: one subnet serves them all."
    better = [_holds(pair.sense) for pair in pairs if pair.better]
    other = [pair.reason for pair in pairs if not pair.better]
    count = "the one comparison" if len(pairs) == 1 else f"{len(pairs)} comparisons"
    if not better:
        return f"On its own device, no choice is better than another device's in {count}: {_counted(other)}."
    if not other:
        every = count if len(pairs) == 1 else f"all {count}"
        return f"On its own device, each choice is better than another device's in {every}: {_counted(better)}."
    remainder = f"In the other{'s' if len(other) > 1 else ''}: {_counted(other)}."
    head = f"On its own device, a choice is better than another device's in {len(better)} of {count}"
    return f"{head}: {_counted(better)}. {remainder}"


def purposes_text(purposes: Sequence[PurposeRow]) -> str:
    """Returns the purposes of a subnet, such as "laptop ≤ 4.00 ms, 6.00 ms; laptop ≤ 4.00 ms and phone ≤ 9.00 ms".

    Args:
        purposes: the purposes of a subnet; none gives an empty text.
    """
    limits_of_device: dict[str, list[str]] = {}
    other_texts: list[str] = []
    for purpose in purposes:
        devices, in_ms = purpose.devices, purpose.limits_ms
        others = "".join(f", {cost_text(name, limit)}" for name, limit in purpose.limits.items())
        if len(devices) == 1 and in_ms and not others:
            limits_of_device.setdefault(devices[0], []).append(ms_text(in_ms[devices[0]]))
        else:
            limits = [f"{name} ≤ {ms_text(in_ms[name])}" if name in in_ms else str(name) for name in devices]
            other_texts.append(" and ".join(limits) + others)
    device_texts = [f"{device} ≤ {', '.join(dict.fromkeys(texts))}" for device, texts in limits_of_device.items()]
    return "; ".join(dict.fromkeys([*device_texts, *other_texts]))


def _holds(sense: str) -> str:
    return f"it {sense}" if sense == MEETS else f"it is {sense}"


def _counted(texts: Iterable[str]) -> str:
    """Each text with its count, such as "twice it is quicker and as good"."""
    times = {1: "once", 2: "twice"}
    counts = Counter(texts)
    return ", ".join(f"{times.get(count, f'{count} times')} {text}" for text, count in counts.most_common())
