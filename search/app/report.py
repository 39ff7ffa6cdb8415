"""`ofa report`: one HTML page about everything that a run holds."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from ofa.paths import write_atomic
from search.app.build import run_folder
from search.paths import RunFolder
from search.progress import say
from search.report.gather import gather
from search.report.page import render


def task(config: DictConfig) -> None:
    """Writes the report of a run."""
    say(f"report: {report_stage(run_folder(config))}")


def report_stage(run: RunFolder) -> Path:
    """Returns the path of the report, written anew from the run's files."""
    write_atomic(run.report, render(gather(run)).encode())
    return run.report
