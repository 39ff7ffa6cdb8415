"""Kills this process at an instruction that it counts to: a write, a rename, a step of an optimizer."""

from __future__ import annotations

import mmap
import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
from torch.optim.optimizer import register_optimizer_step_post_hook

from search.samplers.candidate_sampler import CandidateSampler
from search.study.journal import Journal

CALLS = ("open", "write", "fsync", "replace", "rename", "unlink", "mkdir")
# Behind a rename and in the middle of a line of a journal, beside what each call begins with.
EVENTS = (*CALLS, "replaced", "append", "torn", "step")


class Counts:
    """How often each of `EVENTS` came, in memory that a process shares with those that it forks.

    `work` is how many steps of optimizers were made, without those by which a sampler learns from finished trials,
    which are `sampler`: what a sampler knows follows from the trials. `lost` is the most steps of `work` between two
    moments at which something was written for good.
    """

    def __init__(self) -> None:
        self._array = np.frombuffer(mmap.mmap(-1, 8 * (len(EVENTS) + 3)), dtype=np.int64)

    def of(self, event: str) -> int:
        """Returns how often an event came."""
        return int(self._array[EVENTS.index(event)])

    @property
    def lost(self) -> int:
        """The most steps that a kill can cost."""
        return max(int(self._array[-1]), self.work - int(self._array[-2]))

    @property
    def work(self) -> int:
        """The steps of what is trained."""
        return int(self._array[-3])

    @property
    def sampler(self) -> int:
        """The steps by which samplers learn."""
        return self.of("step") - self.work

    def add_work(self) -> None:
        """Counts a step of what is trained."""
        self._array[-3] += 1

    def count(self, event: str) -> int:
        """Returns how often an event came, this one included."""
        self._array[EVENTS.index(event)] += 1
        if event in ("fsync", "replace"):
            self._array[-1] = self.lost
            self._array[-2] = self.work
        return self.of(event)


def strike(counts: Counts, event: str, number: int) -> None:
    """Lets this process end by SIGKILL when an event comes for the time of that number; 0: never."""

    def happens(what: str) -> None:
        if counts.count(what) == number and what == event:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in CALLS:
        setattr(os, name, _counted(name, getattr(os, name), happens))
    proposing = False

    def stepped(*_: Any) -> None:
        if not proposing:
            counts.add_work()
        happens("step")

    register_optimizer_step_post_hook(stepped)
    propose = CandidateSampler.sample_relative

    def sample_relative(*arguments: Any) -> dict[str, Any]:
        nonlocal proposing
        proposing = True
        try:
            return propose(*arguments)
        finally:
            proposing = False

    CandidateSampler.sample_relative = sample_relative  # type: ignore[method-assign]
    append = Journal.append_logs

    def append_logs(journal: Journal, logs: list[dict[str, Any]]) -> None:
        happens("append")
        if event == "torn" and counts.of("torn") == number - 1:
            with open(journal._file_path, "ab", buffering=0) as file:
                file.write(b'{"op_code":8,"worker_id":"')
        happens("torn")
        append(journal, logs)

    Journal.append_logs = append_logs  # type: ignore[method-assign]


def _counted(name: str, call: Callable[..., Any], happens: Callable[[str], None]) -> Callable[..., Any]:
    def counted(*arguments: Any, **options: Any) -> Any:
        happens(name)
        returned = call(*arguments, **options)
        if name == "replace":
            happens("replaced")
        return returned

    return counted
