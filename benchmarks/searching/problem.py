"""What is searched: a space, what candidates cost, and what they are worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from search.candidates.figures import CandidateFigures
from search.candidates.space import Candidate, CandidateSpace


@dataclass(frozen=True)
class Problem:
    """A search of the best accuracy against one figure, below a limit on it.

    `limits` are those under which the best accuracy is asked; the largest of them is the study's only limit.
    """

    name: str
    space: CandidateSpace
    figures: CandidateFigures
    accuracy: Callable[[Candidate], float]
    figure: str
    limits: tuple[float, ...]
    floor: float  # accuracy that covers nothing in the hypervolume
    ceiling: float  # accuracy that would cover all of it
