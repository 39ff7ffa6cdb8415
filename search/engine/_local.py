"""engine=local: evaluators are processes of this machine, or this process itself where there is one."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from search.candidates.space import Work
from search.engine.engine import TRIES_AGAIN, Engine, Here, Message, Source, serve
from search.engine.team import check_counts, team_of

_SAFE_PATH = "PYTHONSAFEPATH"  # keeps Python from looking for modules in the current folder first
_TRACING = "torch._dynamo"  # of PyTorch, imported where a model is traced; a third of what an evaluator imports


@contextmanager
def local(source: Source, *, workers: int | None = None, retries: int = TRIES_AGAIN) -> Iterator[Engine]:
    """Gives the engine of `workers` processes of this machine; one evaluates in this process.

    Args:
        source: each process makes its own evaluator of it, and loads what it needs.
        workers: how many; None: one.
        retries: how often a candidate is tried again whose process died; after that it has failed.

    Raises:
        InvalidInput: an option out of range, or all processes die before they begin.
    """
    workers = 1 if workers is None else workers
    check_counts(workers, retries)
    if workers == 1:
        yield Here(source.here)
        return
    _give_back()
    with team_of(_Processes(partial(source.make, None)), workers, retries) as engine:
        yield engine


@dataclass(frozen=True, eq=False)
class _Process:
    """A process and the end of its pipe."""

    process: BaseProcess
    pipe: Connection


class _Processes:
    """Evaluators in processes that each have a pipe to this one."""

    def __init__(self, make: Callable[[], Work]) -> None:
        self._make = make
        # A fork of this process would share the threads of PyTorch. The template of "forkserver" has imported PyTorch
        # and run nothing, so it has none; what it holds is in memory once. Elsewhere libraries do not bear a fork.
        self._context = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
        self._context.set_forkserver_preload([name for name in (_module_of(make), _TRACING) if name in sys.modules])
        if sys.platform == "linux":
            _start_template()
        self._running: list[_Process] = []

    def start(self) -> _Process:
        """Returns a new process."""
        ours, theirs = self._context.Pipe()
        # The template's environment is that of its own start, which an earlier search in this process may have been.
        arguments = (self._make, theirs, dict(os.environ))
        process = self._context.Process(target=_serve_here, args=arguments, daemon=True)  # type: ignore[attr-defined]
        process.start()
        theirs.close()
        self._running.append(evaluator := _Process(process, ours))
        return evaluator

    def tell(self, evaluator: _Process, content: Any) -> None:
        """Sends an object to a process."""
        try:
            evaluator.pipe.send(content)
        except OSError:
            pass  # it is dead: its pipe is at its end

    def hear(self) -> list[tuple[_Process, Message | str]]:
        """Returns what processes said since the last call."""
        readable = wait([evaluator.pipe for evaluator in self._running])
        heard: list[tuple[_Process, Message | str]] = []
        for evaluator in [evaluator for evaluator in self._running if evaluator.pipe in readable]:
            try:
                heard.append((evaluator, evaluator.pipe.recv()))
            except (EOFError, OSError):  # it died, between two messages or within one
                evaluator.process.join()
                self.end(evaluator)
                heard.append((evaluator, _how_it_ended(evaluator.process.exitcode)))
        return heard

    def end(self, evaluator: _Process) -> None:
        """Ends a process, which is as safe as a kill."""
        if evaluator in self._running:
            self._running.remove(evaluator)
            evaluator.process.terminate()
            evaluator.process.join()
            evaluator.pipe.close()


def _how_it_ended(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"killed by signal {-exitcode}"
    return f"ended with exit code {exitcode}"


def _start_template() -> None:
    """Starts the template of this process's evaluators, unless it runs: the current folder hides no library from it."""
    before = os.environ.get(_SAFE_PATH)
    os.environ[_SAFE_PATH] = "1"
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ[_SAFE_PATH]
        else:
            os.environ[_SAFE_PATH] = before


def _module_of(make: Callable[..., Any]) -> str:
    """Returns the module of a function, which may have been given arguments before."""
    while isinstance(make, partial):
        make = make.func
    return make.__module__


def _give_back() -> None:
    """Gives the system the memory that is free, where the C library keeps it, as that of Linux does."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _made(make: Callable[[], Work]) -> Work:
    """Returns an evaluator once it holds no more than it needs: loading a supernet takes several times as much."""
    work = make()
    _give_back()
    return work


def _serve_here(make: Callable[[], Work], pipe: Connection, environment: Mapping[str, str]) -> None:
    """The main function of an evaluator's process."""
    gc.freeze()  # a collection writes to all that it looks at, and what one process writes to is shared no more
    for gone in os.environ.keys() - environment.keys():
        del os.environ[gone]
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the driver, which ends all
    threading.Thread(target=_end_with_driver, daemon=True).start()
    serve(partial(_made, make), partial(_unless_gone, pipe.recv), partial(_unless_gone, pipe.send))


def _unless_gone(use: Callable[..., Any], *content: Any) -> Any:
    """Uses the pipe; ends this process where the driver is gone."""
    try:
        return use(*content)
    except (EOFError, OSError):
        raise SystemExit(1) from None


def _end_with_driver() -> None:
    """Ends this process when the driver is gone: nobody would hear what it finds."""
    driver = multiprocessing.parent_process()
    assert driver is not None
    driver.join()
    os._exit(1)
