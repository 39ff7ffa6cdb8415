"""What evaluating a candidate gives, whatever does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from search.candidate import Candidate


@dataclass(frozen=True)
class Evaluation:
    """The accuracy of a candidate on validation (fraction), the seconds it took, and whether it was known.

    Attributes:
        figures: those that evaluating showed to be others than predicted, by name.
        history: a row an epoch of fine-tuning, with its accuracy.
        stopped_at: the epoch after which it was given up; None where it was evaluated to the end.
    """

    accuracy: float
    seconds: float
    cached: bool = False
    figures: Mapping[str, float] = field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()
    stopped_at: int | None = None


Evaluate = Callable[[Candidate], Evaluation]
