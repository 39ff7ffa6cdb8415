"""What evaluators of this machine share: memory, and the machine itself with measurements."""

from __future__ import annotations

import importlib
import os
import sys
import time
from functools import partial
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from search.candidates.space import Candidate, Evaluation
from search.engine import Source, local
from search.run.locks import evaluating, measuring
from search.run.paths import RunFolder
from tests.search.engine.test_local import done, work
from tests.search.study.shared_study import ORACLE


def looking(_: object) -> Any:
    """Returns an evaluator that tells the memory of its process, in bytes, and a variable of its environment."""

    def of(candidate: Candidate, gate: Any) -> Evaluation:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
        sizes = {line.split()[0]: 1024.0 * int(line.split()[1]) for line in lines}
        told = float(os.environ.get("OFA_TOLD", "0"))
        return Evaluation(
            {}, 0.0, figures={"own": sizes["Private_Dirty:"], "all": sizes["Rss:"], "told": told, "pid": os.getpid()}
        )

    return of


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked of a template on Linux alone")
def test_evaluators_share_what_they_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most that a process holds is PyTorch and the toolkit, in memory once. Its environment is the driver's of now."""
    importlib.import_module("torch._dynamo")  # by which the template knows what evaluators need
    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # of an earlier test
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))  # where the template finds this module
    monkeypatch.chdir(tmp_path)
    Path("sympy.py").write_text("raise SystemExit('the wrong module')")
    for told in ("1", None):
        monkeypatch.delenv("OFA_TOLD", raising=False) if told is None else monkeypatch.setenv("OFA_TOLD", told)
        with local(Source(work(None), looking), workers=2) as engine:
            while engine.free < 2:
                engine.wait()
            both = [engine.submit(ORACLE.candidates.at_level(level), lambda *_: True) for level in (0.3, 0.6)]
            found = [done(engine, future).result().figures for future in both]
        assert len({figures["pid"] for figures in found}) == 2
        assert {figures["told"] for figures in found} == {float(told or 0)}
        assert all(figures["own"] < 0.3 * figures["all"] for figures in found)


def telling_when(folder: Path, _: object) -> Any:
    """Returns an evaluator of a run that tells when it began."""

    def of(candidate: Candidate, gate: Any) -> Evaluation:
        with evaluating(RunFolder(folder), "waits"):
            return Evaluation({}, 0.0, figures={"began": time.monotonic()})

    return of


@pytest.mark.slow
def test_nothing_is_evaluated_beside_a_measurement(tmp_path: Path) -> None:
    """As of another search of the run: its evaluators wait, which are processes, until the machine is free."""
    source = Source(work(None), partial(telling_when, tmp_path))
    with local(source, workers=2) as engine:
        while engine.free < 2:
            engine.wait()
        with measuring(RunFolder(tmp_path), "waits"):
            futures = [engine.submit(ORACLE.candidates.at_level(level), lambda *_: True) for level in (0.3, 0.6)]
            time.sleep(1)
            free = time.monotonic()
        assert all(done(engine, future).result().figures["began"] >= free for future in futures)
