"""The rule that says which of two subnets is better on a device under a latency limit, and in what sense."""

from __future__ import annotations

from dataclasses import dataclass

MEETS = "meets the limit where the other does not"
BETTER_IN_BOTH = "quicker and more accurate"
MORE_ACCURATE = "more accurate within the limit"
QUICKER = "quicker at the same accuracy"
NOT_BETTER = "not better"

SAME_SUBNET = "both chose the same subnet"
SAME = "there is no difference beyond the noise"
OVER = "it is over the limit"
OF_THE_OTHER = {
    MEETS: "the other meets the limit where it does not",
    BETTER_IN_BOTH: "the other is quicker and more accurate",
    MORE_ACCURATE: "the other is more accurate within the limit",
    QUICKER: "the other is quicker at the same accuracy",
}


@dataclass(frozen=True)
class Candidate:
    """A subnet as it is on one device: measured ms, and accuracy (a fraction) on images that chose nothing."""

    ms: float
    accuracy: float


@dataclass(frozen=True)
class Verdict:
    """Whether a device's own choice is better there, in what sense, and where it is not, why."""

    better: bool
    sense: str
    reason: str = ""


def advantage(
    one: Candidate, other: Candidate, limit_ms: float, *, same_time: float, same_accuracy: float
) -> str | None:
    """Returns in what sense `one` is better than `other` under `limit_ms`, None where in none.

    It is never true both ways: what is worse in a sense that counts is better in none.

    Args:
        same_time: times that differ by no more than this fraction are the same.
        same_accuracy: accuracies that differ by no more than this (a fraction) are the same.
    """
    quicker = one.ms < other.ms * (1 - same_time)
    more = one.accuracy - other.accuracy > same_accuracy
    less = other.accuracy - one.accuracy > same_accuracy
    one_meets, other_meets = (meets(each.ms, limit_ms, same_time) for each in (one, other))
    # A limit that lies between two times that are the same says nothing about the subnets.
    if one_meets and not other_meets and quicker:
        return MEETS
    if quicker and more:
        return BETTER_IN_BOTH
    if more and one_meets:
        return MORE_ACCURATE
    return QUICKER if quicker and not less else None


def decide(own: Candidate, other: Candidate, limit_ms: float, *, same_time: float, same_accuracy: float) -> Verdict:
    """Returns the Verdict on a device's own choice against another device's choice; arguments as `advantage`."""
    sense = advantage(own, other, limit_ms, same_time=same_time, same_accuracy=same_accuracy)
    if sense is not None:
        return Verdict(True, sense)
    against = advantage(other, own, limit_ms, same_time=same_time, same_accuracy=same_accuracy)
    if against is not None:
        return Verdict(False, NOT_BETTER, OF_THE_OTHER[against])
    return Verdict(False, NOT_BETTER, SAME if meets(own.ms, limit_ms, same_time) else OVER)


def meets(ms: float, limit_ms: float, same_time: float) -> bool:
    """Returns whether a time meets a limit; one that is the same as the limit does, as nothing can tell them apart."""
    return ms * (1 - same_time) <= limit_ms


def resolution(accuracy: float, images: int) -> float:
    """Returns the standard error of an accuracy that was counted on so many images, a fraction."""
    return float((accuracy * (1 - accuracy) / images) ** 0.5)
