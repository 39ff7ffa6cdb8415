"""What evaluating a candidate gives, whatever does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from search.candidate import Candidate


@dataclass(frozen=True)
class Evaluation:
    """The accuracy of a candidate on validation (fraction), the seconds it took, and whether it was known."""

    accuracy: float
    seconds: float
    cached: bool = False


Evaluate = Callable[[Candidate], Evaluation]
