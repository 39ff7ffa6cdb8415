"""Converts thousands of random programs and checks every subnet that is drawn: exact or refused, and nothing else.

    python -m benchmarks.random_models [--programs 5000] [--first 0] [--workers 2]

The programs are those of tests/ofa/random_modules.py, longer and more of them than the tests have; what is checked is
what tests/ofa/structure/test_random_modules.py checks. They come in rounds of 250 that differ by their seed; --first
leaves out the rounds before that one, which stay in the result as they are. The result is
benchmarks/results/random_models.json, with the commit of every round and each program that failed.
"""

from __future__ import annotations

import argparse
import collections
import json
import multiprocessing
import subprocess
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings

from ofa.paths import write_json
from tests.ofa.random_modules import Program, programs
from tests.ofa.structure.test_random_modules import check

RESULTS = Path(__file__).parent / "results" / "random_models.json"
ROUND = 250
LONGEST = 8  # steps of a program
ARCHS = 5


def run_round(number: int) -> dict[str, Any]:
    """Returns what became of one round of programs: counts, CPU seconds and the failures with their programs."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    counts: collections.Counter[str] = collections.Counter()
    failures: list[str] = []
    begin = time.process_time()

    @seed(number)
    @settings(
        max_examples=ROUND,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )
    @given(programs(most=LONGEST))
    def converts(program: Program) -> None:
        try:
            counts["supernets" if check(program, ARCHS) else "refused"] += 1
        except Exception as error:  # all of them are counted
            counts["failed"] += 1
            failures.append(f"{type(error).__name__}: {str(error)[:300]} [{program}]")

    converts()
    return {"round": number, **counts, "cpu_seconds": time.process_time() - begin, "failures": failures}


def main() -> None:
    """Runs the rounds that are asked for and writes the file after each of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--programs", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first round")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    wanted = range(arguments.first, -(-arguments.programs // ROUND))
    known = json.loads(RESULTS.read_text())["rounds"] if RESULTS.exists() else []
    rounds: list[dict[str, Any]] = [row for row in known if row["round"] < arguments.first]
    with multiprocessing.get_context("spawn").Pool(arguments.workers, maxtasksperchild=1) as pool:
        for row in pool.imap_unordered(run_round, wanted):
            rounds.append({"commit": commit, **row})
            total = {name: sum(row.get(name, 0) for row in rounds) for name in ("supernets", "refused", "failed")}
            print(json.dumps(total | {"cpu_seconds": round(sum(row["cpu_seconds"] for row in rounds))}), flush=True)
            for failure in row["failures"]:
                print("  " + failure, flush=True)
            rounds.sort(key=lambda row: row["round"])
            write_json(RESULTS, {"total": total, "rounds": rounds})


if __name__ == "__main__":
    main()
