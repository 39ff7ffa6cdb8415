"""`ofa sweep`: the searches of a run side by side, over devices, limits and seeds; also the end of a multirun."""

from __future__ import annotations

from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from ofa.errors import InvalidInput
from ofa.paths import write_atomic
from search.app.build import run_folder
from search.app.sweep_table import print_sweep
from search.paths import RunFolder
from search.progress import say
from search.report.gather_sweep import gather_sweep
from search.report.sweep_page import render_sweep


def task(config: DictConfig) -> None:
    """Prints the table of a run's searches and writes their page."""
    summarise(run_folder(config))


def summarise(run: RunFolder) -> None:
    """Prints a line a target with its spread over seeds, and writes the page.

    Raises:
        InvalidInput: no search of the run is done.
    """
    data = gather_sweep(run)
    write_atomic(run.sweep, render_sweep(data).encode())
    print_sweep(data)
    print(f"sweep      {run.sweep.resolve()}")


class AfterMultirun(Callback):
    """Summarises the searches of a run when the last job of a multirun has ended."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Prints and writes the summary; what keeps it from that is said and fails no job."""
        try:
            summarise(run_folder(config))
        except InvalidInput as error:
            say(f"sweep: no summary: {error}")
