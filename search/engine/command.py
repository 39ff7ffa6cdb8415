"""A training that an engine starts: the command line that each of its processes runs, as torchrun would start it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

OF_SEARCHES = ("search.engine.local", "search.engine.ray")  # targets of engines
OF_TRAININGS = ("search.engine.slurm", "search.engine.ray_train")
STARTED_VARIABLE = "OFA_STARTED_BY_ENGINE"  # in the processes that an engine started, which start no others


@dataclass(frozen=True)
class Command:
    """A verb that trains, with its overrides.

    Attributes:
        folder: where the engine may keep files of its own.
    """

    verb: str
    words: tuple[str, ...]
    folder: Path

    @property
    def line(self) -> list[str]:
        """The command line of one process."""
        return [sys.executable, "-m", "search.app.main", self.verb, *self.words]


# Runs a command in several processes that form a group, and returns the exit code of the first of them.
StartTraining: TypeAlias = Callable[[Command], int]
