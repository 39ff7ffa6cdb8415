"""The seam between the driver of a search and its evaluators: what is handed out, what comes back, and here.

The driver alone knows the study. An evaluator gets a candidate and returns its evaluation; on the way it asks whether
to go on. Where it runs is the engine's matter.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from ofa.errors import InvalidInput
from search.candidates.space import Candidate, Evaluation, Gate, Work

# What a candidate can fail with: torch raises RuntimeError, a user's metric any of them. Other errors end the search.
FAILURES = (InvalidInput, RuntimeError, MemoryError, ArithmeticError, ValueError)
TRIES_AGAIN = 2  # of a candidate whose evaluator died


class EvaluatorDied(RuntimeError):
    """Every evaluator that tried a candidate died at it."""


@dataclass(frozen=True)
class Source:
    """Where evaluators come from.

    Attributes:
        here: evaluates in this process.
        make: makes the same in another process, of what is shared; a function of a module, so that it can be pickled.
        shared: what all evaluators read and none changes, such as the supernet and its data; an engine that sends it
            does so once per machine. Evaluators that get None load it from the folder of the run.
    """

    here: Work
    make: Callable[[Any], Work]
    shared: Any = None


class Engine(Protocol):
    """Evaluators, wherever they run. Its functions are called by one thread, and so are the gates."""

    @property
    def free(self) -> int:
        """How many more candidates it takes now."""

    def submit(self, candidate: Candidate, gate: Gate) -> Future[Evaluation]:
        """Returns the evaluation of a candidate to come; `gate` is asked during a later `wait`.

        The future fails with what the evaluation failed with, or `EvaluatorDied`.
        """

    def cancel(self, future: Future[Evaluation]) -> None:
        """Ends an evaluation at any moment, by ending its evaluator; its future is cancelled."""

    def wait(self) -> None:
        """Returns after something has happened: a future is done, a gate was asked, an evaluator is free.

        Raises:
            InvalidInput: no evaluator could begin.
        """


# Gives an engine whose evaluators come from a source; all of them end with it.
MakeEngine = Callable[[Source], AbstractContextManager[Engine]]


class Here:
    """The engine of one evaluator in this process: what is submitted is done at once."""

    free = 1

    def __init__(self, work: Work) -> None:
        self._work = work

    def submit(self, candidate: Candidate, gate: Gate) -> Future[Evaluation]:
        """Returns the evaluation; what is no failure of a candidate is raised."""
        future: Future[Evaluation] = Future()
        try:
            future.set_result(self._work(candidate, gate))
        except FAILURES as error:
            future.set_exception(error)
        return future

    def cancel(self, future: Future[Evaluation]) -> None:
        """Does nothing: all futures are done."""

    def wait(self) -> None:
        """Does nothing: there is nothing to wait for."""


@dataclass(frozen=True)
class Message:
    """What an evaluator says.

    Attributes:
        kind: "ready" at first; then to every candidate "asks" whether to go on, any number of times, and one of
            "evaluated", "failed" and "broken": with an error that ends the search.
        content: an epoch and a value, an Evaluation, or an error; None for "ready".
    """

    kind: str
    content: Any = None


def serve(make: Callable[[], Work], hear: Callable[[], Any], say: Callable[[Message], None]) -> None:
    """Evaluates what is heard until that is None: the main function of an evaluator, in any process.

    Args:
        hear: returns the next candidate, or the answer to what was asked; raises SystemExit where the driver is gone.
        say: sends a message to the driver, as `hear`.
    """
    try:
        work = make()
        say(Message("ready"))

        def ask(epoch: int, value: float) -> bool:
            say(Message("asks", (epoch, value)))
            return bool(hear())

        while (candidate := hear()) is not None:
            try:
                message = Message("evaluated", work(candidate, ask))
            except FAILURES as error:
                message = Message("failed", InvalidInput(first_line(error)))
            say(message)
    except Exception as error:
        say(Message("broken", portable(error)))


def first_line(error: Exception) -> str:
    """Returns the reason of a failure in one line."""
    return str(error).split("\n", 1)[0] or type(error).__name__


def portable(error: Exception) -> Exception:
    """Returns the error in a form that can be sent to another process, with its traceback as a note."""
    if isinstance(error, InvalidInput):
        return InvalidInput(str(error))
    sent: Exception = RuntimeError(f"{type(error).__name__} in an evaluator: {error}")
    if isinstance(error, OSError) and not isinstance(
        error, FileNotFoundError
    ):  # such as a full disk, which the user can fix
        sent = OSError(error.errno, error.strerror, *([] if error.filename is None else [error.filename]))
    sent.add_note("".join(traceback.format_exception(error)))
    return sent
