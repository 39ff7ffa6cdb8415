"""What evaluating an Arch gives, whatever does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ofa.arch import Arch


@dataclass(frozen=True)
class Evaluation:
    """The accuracy of an Arch on validation (fraction), the seconds it took, and whether it was known."""

    accuracy: float
    seconds: float
    cached: bool = False


Evaluate = Callable[[Arch], Evaluation]
