"""A training that an engine starts: the command line that each of its processes runs, as torchrun would start it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ofa.errors import InvalidInput

ON_RAY = "search.engine.ray"  # targets of engines
OF_SEARCHES = ("search.engine.local", ON_RAY)
OF_TRAININGS = ("search.engine.slurm",)
PROGRAM = "search.app.main"  # the module that runs a verb
ANOTHER_ENDED = 75  # exit code of a process that ended since another did, as "try again" of sysexits.h
STARTED_VARIABLE = "OFA_STARTED_BY_ENGINE"  # in the processes that an engine started, which start no others
_SECONDS_BETWEEN_LOOKS = 0.5


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
        return [sys.executable, "-m", PROGRAM, self.verb, *self.words]


# Runs a command in several processes that form a group, and returns the exit code of the first of them.
StartTraining: TypeAlias = Callable[[Command], int]


def check_of_search(engine: Mapping[str, Any]) -> None:
    """Checks the engine of a search, by its `_target_`.

    Raises:
        InvalidInput: it is one of trainings.
    """
    if (target := str(engine.get("_target_"))) in OF_TRAININGS:
        raise InvalidInput(
            f"engine={target.rpartition('.')[2]} starts the processes of ofa train, prune and finetune: give "
            "engine=local or engine=ray, which evaluate candidates"
        )


def of_training(engine: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the configuration of an engine that makes a `StartTraining`: on Ray, what trains there.

    Raises:
        InvalidInput: it is one of searches alone.
    """
    target = str(engine.get("_target_"))
    if target == ON_RAY:
        return {**engine, "_target_": "search.engine.ray_training"}
    if target in OF_SEARCHES:
        raise InvalidInput(
            f"engine={target.rpartition('.')[2]} evaluates candidates of a search: give engine=slurm or engine=ray, or "
            "leave it out, to train in this process or in those of torchrun"
        )
    return dict(engine)


def said_by(folder: Path, rank: int) -> Path:
    """Returns the file of what a process says, since it runs on another machine."""
    return folder / f"said_{rank}.txt"


def show_until(ended: Callable[[], bool], folder: Path) -> None:
    """Prints what the processes say, as they say it, until they have ended."""
    shown: dict[Path, int] = {}
    last = False
    while not last:
        last = ended()
        for path in sorted(folder.glob("said_*.txt")):
            with path.open(encoding="utf-8", errors="replace") as file:
                file.seek(shown.get(path, 0))
                sys.stderr.write(file.read())
                shown[path] = file.tell()
        sys.stderr.flush()
        if not last:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
