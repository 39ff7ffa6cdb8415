"""Trainings whose processes an engine starts: the verb that a user calls queues them, and shows what they say."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ofa.errors import InvalidInput
from search.app.ranks import TOGETHER, launched
from search.engine import Command
from search.engine.command import STARTED_VARIABLE, of_training
from search.objects import make_partial


def started(verb: str, request: Any) -> Callable[[Sequence[str]], int] | None:
    """Returns a function of the overrides that has the engine of a request train; None where this process does.

    Raises:
        InvalidInput: the engine is one of searches alone, or other processes share this training already.
    """
    if verb not in TOGETHER or request.engine is None or STARTED_VARIABLE in os.environ:
        return None
    engine = of_training(request.engine)
    name = str(request.engine["_target_"]).rpartition(".")[2]
    if not launched().alone:
        raise InvalidInput(f"engine={name} starts processes itself: give it without torchrun")
    train = make_partial("engine", engine)
    folder = Path(request.outputs).resolve() / ".engine"
    return lambda words: int(train(Command(verb, tuple(words), folder)))
