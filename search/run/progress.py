"""Progress of long work: a bar on a terminal or in a notebook, else plain lines; with elapsed and remaining time."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

SECONDS_BETWEEN_LINES = 5.0
PLAIN_VARIABLE = "OFA_PLAIN_PROGRESS"  # lines on a terminal, too
NOTEBOOK_SHELL = "ZMQInteractiveShell"  # of IPython, where cells show HTML
_silent: ContextVar[bool] = ContextVar("silent", default=False)
_observer: ContextVar[Observer | None] = ContextVar("observer", default=None)


class Update(Protocol):
    """Reports how far a stage is: `done` of `total`, and a short text of figures such as "loss 0.41"."""

    def __call__(
        self, done: int, total: int, figures: str = "", point: Mapping[str, float | None] | None = None
    ) -> None:
        """Shows the progress; `point` holds figures by name, for those who draw them."""


class Observer(Protocol):
    """Is told of the progress of every stage, by name."""

    def __call__(self, stage: str, done: int, total: int, figures: str, point: Mapping[str, float | None]) -> None:
        """Takes note of it."""


Shown = Callable[[int, int, str], None]


@contextmanager
def stage_progress(name: str, stream: TextIO | None = None) -> Iterator[Update]:
    """Yields the function to call as the work advances; the bar is removed when the block ends.

    Work that ends before its total, such as measuring that is sure of its figures, is told to have done all.
    """
    observer = _observer.get()
    last: tuple[int, str] | None = None
    with _shown(name, stream) as shown:

        def update(done: int, total: int, figures: str = "", point: Mapping[str, float | None] | None = None) -> None:
            nonlocal last
            last = (done, figures) if done < total else None
            shown(done, total, figures)
            if observer is not None:
                observer(name, done, max(done, total), figures, point or {})

        yield update
    if observer is not None and last is not None:
        done, figures = last
        observer(name, done, done, figures, {})


@contextmanager
def observed_by(observer: Observer) -> Iterator[None]:
    """Tells `observer` of the progress of all stages in the block."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


@contextmanager
def _shown(name: str, stream: TextIO | None) -> Iterator[Shown]:
    if _silent.get():
        yield lambda done, total, figures: None
        return
    notebook = stream is None and in_notebook()
    stream = stream or sys.stderr
    if (notebook or stream.isatty()) and os.environ.get(PLAIN_VARIABLE, "0") in ("", "0"):
        with _bar(name, Console() if notebook else Console(file=stream)) as update:
            yield update
    else:
        yield _lines(name, stream, time.monotonic)


@contextmanager
def progress_shown(shown: bool) -> Iterator[None]:
    """Shows or hides progress and messages of the work in the block; errors and warnings are always shown."""
    token = _silent.set(not shown)
    try:
        yield
    finally:
        _silent.reset(token)


def in_notebook() -> bool:
    """Returns whether this runs in a notebook cell that can show a bar, for which rich needs ipywidgets."""
    return _is_notebook_shell() and importlib.util.find_spec("ipywidgets") is not None


def _is_notebook_shell() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == NOTEBOOK_SHELL


def _fixed(width: int) -> Column:
    """A column that narrow terminals do not shrink: they cut the figures instead."""
    return Column(min_width=width, no_wrap=True)


@contextmanager
def _bar(name: str, console: Console) -> Iterator[Shown]:
    columns = (
        TextColumn("{task.description}", style="bold", table_column=_fixed(8)),
        BarColumn(bar_width=20, table_column=_fixed(20)),
        MofNCompleteColumn(table_column=_fixed(9)),
        TimeElapsedColumn(table_column=_fixed(7)),
        TextColumn("left", style="dim", table_column=_fixed(4)),
        TimeRemainingColumn(table_column=_fixed(7)),
        TextColumn(
            "{task.fields[figures]}",
            style="dim",
            markup=False,
            table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
        ),
    )
    with Progress(*columns, console=console, expand=True) as progress:
        task = progress.add_task(name, total=None, figures="")

        def update(done: int, total: int, figures: str = "") -> None:
            progress.update(task, completed=done, total=max(done, total), figures=figures)

        yield update


def _lines(name: str, stream: TextIO, clock: Callable[[], float]) -> Shown:
    """Returns an update that prints the first call, the last, and one every few seconds in between."""
    start = clock()
    printed = -SECONDS_BETWEEN_LINES
    first_done: int | None = None

    def update(done: int, total: int, figures: str = "") -> None:
        nonlocal printed, first_done
        elapsed = clock() - start
        first_done = done if first_done is None else first_done
        if done != total and elapsed - printed < SECONDS_BETWEEN_LINES:
            return
        printed = elapsed
        done_here = done - first_done  # without what a resumed stage had done before
        remaining = f", {duration(elapsed / done_here * (total - done))} left" if done_here > 0 and done < total else ""
        suffix = f", {figures}" if figures else ""
        stream.write(f"{name}: {done}/{max(done, total)}, {duration(elapsed)}{remaining}{suffix}\n")
        stream.flush()

    return update


def duration(seconds: float) -> str:
    """Returns a time as "4 s", "3 min 20 s" or "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def say(message: str, stream: TextIO | None = None) -> None:
    """Prints one line about the run immediately, unless progress is silenced.

    A notebook shows what goes to stderr like an error, so there it is stdout.
    """
    if not _silent.get():
        print(message, file=stream or (sys.stdout if _is_notebook_shell() else sys.stderr), flush=True)


_COMMAND: ContextVar[str] = ContextVar("command", default="")


def command_line() -> str:
    """Returns the command line that runs now, as a shell reads it, for the stamps of stages; empty if there is none."""
    return _COMMAND.get()


@contextmanager
def recorded_command(text: str) -> Iterator[None]:
    """Makes `text` the command line that runs now."""
    before = _COMMAND.set(text)
    try:
        yield
    finally:
        _COMMAND.reset(before)
