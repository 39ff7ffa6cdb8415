"""Loggers in a training: its rows go to them as epochs end."""

from __future__ import annotations

from collections.abc import Sequence

from ofa.loggers import Logger, tolerant
from ofa.processes import processes
from ofa.train.loop import Callback, Event
from ofa.train.state import TrainState


def logged(loggers: Sequence[Logger]) -> Callback:
    """Returns a callback that gives each finished row of `History` to loggers, by the step that it ended with.

    A training that is resumed adds what a logger does not have yet; one that begins replaces what is there. An error
    of a logger is a warning, and the training goes on without it. Of several processes the first logs.
    """
    tolerated: list[tolerant] = [tolerant(logger) for logger in loggers if processes().is_first]
    last: list[int] = []

    def log(event: Event, state: TrainState) -> None:
        if event is Event.START:
            fresh = not state.history
            last[:] = [-1 if step is None else step for step in (logger.open(fresh=fresh) for logger in tolerated)]
        elif event in (Event.STEP, Event.END):
            for number, logger in enumerate(tolerated):
                for row in state.history:
                    if row["step"] > last[number]:
                        last[number] = row["step"]
                        logger.log(row["step"], row)
        if event is Event.END:
            for logger in tolerated:
                logger.close()

    return log
