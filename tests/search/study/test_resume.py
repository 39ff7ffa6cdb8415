"""Killed with SIGKILL at any moment and started again: the study of no kill, and no finished trial lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optuna
import pytest

from search.candidates.search_files import TrialRow
from search.candidates.trials import trial_rows
from search.study.study import load_study

ROOT = Path(__file__).parents[3]
EVALUATIONS = 24
SCRIPT = """
import sys, time
from pathlib import Path
from search.candidates.space import Evaluation
from search.candidates.limits import Limits
from search.study.plan import SearchPlan
from functools import partial
from search.experiments import amc, filter_policy
from search.samplers import evolution, guided, nsga2, random, tpe
from search.study.study import run_study
from tests.search.synthetic import Oracle, block_space

oracle = Oracle(block_space(stages=2, blocks=2))
largest = float(oracle.figures([oracle.space.largest])["latency_ms"][0])

def evaluate(candidate):
    time.sleep(0.01)
    return Evaluation(oracle.accuracy(candidate.arch), 0.01)

sampler = {"guided": guided, "evolution": evolution, "tpe": tpe, "nsga2": nsga2, "random": random,
           "amc": partial(amc, warmup=6, hidden=(16, 16), batch_size=8),
           "filter_policy": partial(filter_policy, samples=4)}[sys.argv[2]]
plan = SearchPlan("s", oracle.candidates, oracle.candidate_figures, evaluate, int(sys.argv[3]),
                  Limits(({"latency_ms": 0.6 * largest},)), sampler=sampler)
def told(ended):
    print(ended.trial, ended.state, flush=True)
print("begins", flush=True)
run_study(plan, Path(sys.argv[1]), progress=told)
"""


def command(journal: Path, sampler: str) -> list[str]:
    return [sys.executable, "-W", "ignore", "-c", SCRIPT, str(journal), sampler, str(EVALUATIONS)]


def told_rows(journal: Path) -> list[TrialRow]:
    return [row for row in trial_rows(load_study(journal, "s")) if row.state != "interrupted"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize("sampler", ["guided", "evolution", "tpe", "amc", "filter_policy"])
def test_ten_kills_lose_nothing(tmp_path: Path, sampler: str) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    whole, killed = tmp_path / "whole.log", tmp_path / "killed.log"
    start = time.monotonic()
    subprocess.run(command(whole, sampler), cwd=ROOT, check=True, stdout=subprocess.PIPE)
    rng = np.random.default_rng(0)
    seconds = (time.monotonic() - start) / 12  # of the search that each process is let to do, on average
    kills = 0
    told: set[str] = set()
    for _ in range(10):
        process = subprocess.Popen(command(killed, sampler), cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(float(rng.uniform(0, 2 * seconds)))
        process.kill()
        told |= set(process.stdout.read().splitlines())
        kills += process.wait() == -signal.SIGKILL
        if killed.exists():
            kept = {f"{row.number} {row.state}" for row in told_rows(killed)}
            assert told <= kept
    assert kills >= 3
    subprocess.run(command(killed, sampler), cwd=ROOT, check=True, stdout=subprocess.PIPE)
    rows, wanted = told_rows(killed), told_rows(whole)
    assert [(row.arch, row.state, row.accuracy) for row in rows] == [
        (row.arch, row.state, row.accuracy) for row in wanted
    ]
    assert sum(row.state == "evaluated" for row in rows) == EVALUATIONS
    states = {trial.state for trial in load_study(killed, "s").trials}
    assert optuna.trial.TrialState.RUNNING not in states
    again = subprocess.run(command(killed, sampler), cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    assert again.stdout == "begins\n"
