"""Killed with SIGKILL at any moment and started again: the study of no kill, and no finished trial lost."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TextIO

import optuna
import pytest

from search.candidates.limits import Limits
from search.candidates.search_files import TrialRow
from search.candidates.space import Candidate, Evaluation
from search.candidates.trials import trial_rows
from search.experiments import amc, filter_policy
from search.samplers import SamplerFactory, evolution, guided, tpe
from search.study.plan import SearchPlan
from search.study.study import load_study, run_study
from tests.search.scored import ACCURACY, evaluation
from tests.search.synthetic import Oracle, block_space

EVALUATIONS = 24
SAMPLERS: dict[str, SamplerFactory] = {
    "guided": guided,
    "evolution": evolution,
    "tpe": tpe,
    "amc": partial(amc, warmup=6, hidden=(16, 16), batch_size=8),
    "filter_policy": partial(filter_policy, samples=4),
}


def search(journal: Path, sampler: str, pipe: int) -> None:
    """Searches, and writes to the pipe that it begins and then a line for each trial that ends."""
    oracle = Oracle(block_space(stages=2, blocks=2))
    largest = float(oracle.figures([oracle.space.largest])["latency_ms"][0])

    def evaluate(candidate: Candidate) -> Evaluation:
        time.sleep(0.01)
        return evaluation(oracle.accuracy(candidate.arch), 0.01)

    limits = Limits(({"latency_ms": 0.6 * largest},))
    chosen = SAMPLERS[sampler]
    plan = SearchPlan(
        "s", oracle.candidates, oracle.candidate_figures, evaluate, EVALUATIONS, (ACCURACY,), limits, sampler=chosen
    )
    with os.fdopen(pipe, "w", buffering=1) as told:
        told.write("begins\n")
        run_study(plan, journal, progress=lambda ended: print(ended.trial, ended.state, file=told))


@contextmanager
def searching(journal: Path, sampler: str) -> Iterator[tuple[BaseProcess, TextIO]]:
    """Gives a process that searches and what it writes; forked, as an import of PyTorch is not the matter."""
    reading, writing = os.pipe()
    process = multiprocessing.get_context("fork").Process(target=search, args=(journal, sampler, writing))
    process.start()
    os.close(writing)
    with os.fdopen(reading) as told:
        yield process, told
        process.join()


def searched(journal: Path, sampler: str) -> list[str]:
    """Returns what a search that nobody kills writes."""
    with searching(journal, sampler) as (process, told):
        lines = told.read().splitlines()
    assert process.exitcode == 0
    return lines


def told_rows(journal: Path) -> list[TrialRow]:
    return list(trial_rows(load_study(journal, "s")))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_ten_kills_lose_nothing(tmp_path: Path, sampler: str) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    whole, killed = tmp_path / "whole.log", tmp_path / "killed.log"
    searched(whole, sampler)
    moments = random.Random(0)
    kills = 0
    told: set[str] = set()
    for _ in range(10):
        with searching(killed, sampler) as (process, pipe):
            lines = [pipe.readline() for _ in range(moments.randrange(5))]  # however quick this machine is
            time.sleep(moments.uniform(0, 0.05))
            process.kill()
            lines += pipe.readlines()
        told |= {line.strip() for line in lines} - {"begins", ""}
        kills += process.exitcode == -signal.SIGKILL
        if killed.exists():
            kept = {f"{row.number} {row.state}" for row in told_rows(killed)}
            assert told <= kept
    assert kills >= 3
    searched(killed, sampler)
    rows, wanted = told_rows(killed), told_rows(whole)
    assert [(row.arch, row.state, row.score) for row in rows] == [(row.arch, row.state, row.score) for row in wanted]
    assert sum(row.state == "evaluated" for row in rows) == EVALUATIONS
    states = {trial.state for trial in load_study(killed, "s").trials}
    assert optuna.trial.TrialState.RUNNING not in states
    assert searched(killed, sampler) == ["begins"]
