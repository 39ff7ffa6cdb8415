"""Progress of long work: a bar on a terminal, plain lines otherwise, with elapsed and remaining time."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


class Update(Protocol):
    """Tells how far a stage is: `done` of `total`, and a short text of figures such as "loss 0.41"."""

    def __call__(self, done: int, total: int, figures: str = "") -> None:
        """Shows it."""


@contextmanager
def stage_progress(name: str, stream: TextIO | None = None) -> Iterator[Update]:
    """Yields the function to call as work goes on; the bar is taken off when the block ends."""
    stream = stream or sys.stderr
    if stream.isatty() and os.environ.get(PLAIN_VARIABLE, "0") in ("", "0"):
        with _bar(name, stream) as update:
            yield update
    else:
        yield _lines(name, stream, time.monotonic)


def _fixed(width: int) -> Column:
    """A column that narrow terminals do not squeeze: they cut the figures."""
    return Column(min_width=width, no_wrap=True)


@contextmanager
def _bar(name: str, stream: TextIO) -> Iterator[Update]:
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
    with Progress(*columns, console=Console(file=stream), expand=True) as progress:
        task = progress.add_task(name, total=None, figures="")

        def update(done: int, total: int, figures: str = "") -> None:
            progress.update(task, completed=done, total=max(done, total), figures=figures)

        yield update


def _lines(name: str, stream: TextIO, clock: Callable[[], float]) -> Update:
    """Returns an update that prints the first call, the last one, and one every few seconds between."""
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
        made = done - first_done
        remaining = f", {duration(elapsed / made * (total - done))} left" if made > 0 and done < total else ""
        shown = f", {figures}" if figures else ""
        stream.write(f"{name}: {done}/{max(done, total)}, {duration(elapsed)}{remaining}{shown}\n")
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
    """Prints one line about the run, at once."""
    print(message, file=stream or sys.stderr, flush=True)
