"""The command line in a process of its own: as a user starts it, or forked, where imports are not the matter."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

from search.app.main import main

ROOT = Path(__file__).parents[3]


@contextmanager
def ofa_process(arguments: Sequence[str], folder: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Gives a running `ofa`, in `folder`; it is ended with the block."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **variables}
    command = [sys.executable, "-m", "search.app.main", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    job = subprocess.Popen(command, cwd=folder, env=environment, text=True, **pipes)
    try:
        yield job
    finally:
        job.kill()
        job.communicate()


def run_ofa(arguments: Sequence[str], folder: Path, **variables: str) -> tuple[int, str, str]:
    """Returns exit code, stdout and stderr of an `ofa` in `folder`."""
    with ofa_process(arguments, folder, **variables) as job:
        out, err = job.communicate()
        return job.returncode, out, err


@contextmanager
def ofa_fork(arguments: Sequence[str], folder: Path) -> Iterator[tuple[BaseProcess, Path]]:
    """Gives a running `ofa` in `folder` and the file of what it says; it is ended with the block.

    Quicker than `ofa_process` by an import of PyTorch.
    """
    said = folder / "said.txt"

    def work() -> None:
        os.chdir(folder)
        sys.stdout = sys.stderr = said.open("w", encoding="utf-8")
        sys.exit(main(arguments))

    job = multiprocessing.get_context("fork").Process(target=work)
    job.start()
    try:
        yield job, said
    finally:
        job.kill()
        job.join()
