"""A team: evaluators that are processes of their own, on this machine or on others, and what is done when one dies."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from ofa.errors import InvalidInput, is_whole
from search.candidates.space import Candidate, Evaluation, Gate
from search.engine.engine import Engine, EvaluatorDied, Message
from search.run.progress import say

H = TypeVar("H")  # how a kind of evaluators names one of them


class Evaluators(Protocol[H]):
    """Processes that each run `search.engine.engine.serve`."""

    def start(self) -> H:
        """Returns a new evaluator."""

    def tell(self, evaluator: H, content: Any, /) -> None:
        """Sends a candidate or an answer; does nothing where the evaluator is dead, which `hear` then says."""

    def hear(self) -> list[tuple[H, Message | str]]:
        """Returns what evaluators said, at least one thing; text says how an evaluator died."""

    def end(self, evaluator: H, /) -> None:
        """Ends an evaluator at any moment."""


@dataclass(eq=False)
class Task:
    """A candidate that was submitted.

    Attributes:
        deaths: how many evaluators died at it.
    """

    candidate: Candidate
    gate: Gate
    future: Future[Evaluation] = field(default_factory=Future)
    deaths: int = 0


class Team(Generic[H]):
    """The engine of several evaluators: each has one task at most, and one that dies is replaced.

    Args:
        evaluators: starts and ends them.
        workers: how many there are.
        retries: how often a candidate is tried again whose evaluator died.
    """

    def __init__(self, evaluators: Evaluators[H], workers: int, retries: int) -> None:
        self._evaluators, self._workers, self._retries = evaluators, workers, retries
        self._tasks: dict[H, Task] = {}  # of those at work
        self._idle: list[H] = []
        self._starting = {evaluators.start() for _ in range(workers)}
        self._again: list[Task] = []  # tasks whose evaluator died, until another is free

    @property
    def free(self) -> int:
        """How many evaluators have nothing to do."""
        return max(0, len(self._idle) - len(self._again))

    def submit(self, candidate: Candidate, gate: Gate) -> Future[Evaluation]:
        """Returns the evaluation to come; it waits for a free evaluator where there is none."""
        task = Task(candidate, gate)
        self._again.append(task)
        self._hand_out()
        return task.future

    def cancel(self, future: Future[Evaluation]) -> None:
        """Ends an evaluation with its evaluator, which is replaced."""
        future.cancel()
        self._again = [task for task in self._again if task.future is not future]
        for evaluator in [evaluator for evaluator, task in self._tasks.items() if task.future is future]:
            del self._tasks[evaluator]
            self._evaluators.end(evaluator)
            self._starting.add(self._evaluators.start())

    def wait(self) -> None:
        """Returns after evaluators said something, and what they asked was answered."""
        for evaluator, message in self._evaluators.hear():
            if isinstance(message, str):
                self._lose(evaluator, message)
            elif evaluator in self._tasks or evaluator in self._starting:  # not one that was ended meanwhile
                self._handle(evaluator, message)
        self._hand_out()

    def end(self) -> None:
        """Ends all evaluators."""
        for evaluator in [*self._tasks, *self._idle, *self._starting]:
            self._evaluators.end(evaluator)

    def _hand_out(self) -> None:
        while self._idle and self._again:
            evaluator, task = self._idle.pop(0), self._again.pop(0)
            self._tasks[evaluator] = task
            self._evaluators.tell(evaluator, task.candidate)

    def _handle(self, evaluator: H, message: Message) -> None:
        if message.kind == "broken":
            raise message.content
        if message.kind == "asks":
            self._evaluators.tell(evaluator, self._tasks[evaluator].gate(*message.content))
            return
        if message.kind == "ready":
            self._starting.discard(evaluator)
        else:
            future = self._tasks.pop(evaluator).future
            if message.kind == "failed":
                future.set_exception(message.content)
            else:
                future.set_result(message.content)
        self._idle.append(evaluator)

    def _lose(self, evaluator: H, how: str) -> None:
        """An evaluator died: what it had is tried again by another, and it is replaced where it had begun."""
        if evaluator in self._starting:
            self._starting.discard(evaluator)
            if not self._starting and not self._tasks and not self._idle:
                raise InvalidInput(f"every evaluator was {how} before it began; try fewer than workers={self._workers}")
            return
        if evaluator in self._idle:
            self._idle.remove(evaluator)
        elif (task := self._tasks.pop(evaluator, None)) is None:
            return  # it was cancelled
        else:
            task.deaths += 1
            if task.deaths > self._retries:
                task.future.set_exception(EvaluatorDied(f"{task.deaths} evaluators died at it, the last {how}"))
            else:
                say(f"search: an evaluator was {how}; its candidate is tried again")
                self._again.insert(0, task)
        self._starting.add(self._evaluators.start())


@contextmanager
def team_of(evaluators: Evaluators[H], workers: int, retries: int) -> Iterator[Engine]:
    """Gives the engine of so many evaluators, which end with it."""
    team = Team(evaluators, workers, retries)
    try:
        yield team
    finally:
        team.end()


def check_counts(workers: int, retries: int) -> None:
    """Checks the options of every engine.

    Raises:
        InvalidInput: no whole number, or too small.
    """
    for name, value, least in (("workers", workers, 1), ("retries", retries, 0)):
        if not is_whole(value, least):
            raise InvalidInput(f"engine.{name}={value!r} must be a whole number of at least {least}")
