"""Verbs that torchrun starts several times: those that train share the work, the others run alone or not at all."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ofa.errors import InvalidInput
from search.run.progress import progress_shown

TOGETHER = {"train": "train", "prune": "dense", "finetune": "finetune"}  # with the group of a training's settings


def rank() -> int:
    """Returns the number of this process among those that a launcher started together; 0 is the first, or alone."""
    if "WORLD_SIZE" not in os.environ:
        return 0  # and nothing is imported to find out
    from ofa.processes import launched

    try:
        return launched().rank
    except InvalidInput:  # see `refusal`
        return 0


def refusal(verb: str, overrides: Sequence[str]) -> str:
    """Returns why several processes cannot run a verb, in one line; "" where they can, or there is one alone."""
    if "WORLD_SIZE" not in os.environ:
        return ""
    from ofa.processes import launched

    try:
        group = launched()
    except InvalidInput as error:
        return str(error)
    if group.alone:
        return ""
    if verb not in TOGETHER:
        return (
            f"this verb is one process, and was started as {group.count} (WORLD_SIZE): start it without torchrun; "
            f"those that share their work are {', '.join(TOGETHER)}"
        )
    if {"-m", "--multirun"} & set(overrides):
        return f"--multirun is many trainings, and {group.count} processes share one: start each by torchrun"
    return ""


@contextmanager
def together(verb: str, request: Any) -> Iterator[None]:
    """Joins the processes that a launcher started into one group; all but the first are silent."""
    if "WORLD_SIZE" not in os.environ or verb not in TOGETHER:
        yield
        return
    from ofa.processes import process_group

    with process_group(getattr(request, TOGETHER[verb]).device) as group:
        if group.is_first:
            yield
            return
        with progress_shown(False), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield


def silence() -> None:
    """Lets this process print nothing to standard output, which the first one prints to."""
    sys.stdout = open(os.devnull, "w")


def is_said_elsewhere(error: Exception, *, joined: bool) -> bool:
    """Returns whether another process tells the user of an error; before the group is joined all have the same."""
    if rank() == 0:
        return False
    from ofa.processes import OtherProcessFailed

    return not joined or isinstance(error, OtherProcessFailed)
