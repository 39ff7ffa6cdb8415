"""Damaged and hostile files: mutations of every kind of file that the product reads, and what comes of each.

The runs that hold every kind are made by the product's own verbs. Mutation k is a function of the seed and k; it is
read by the product's own readers, which have to refuse it in a line or take what was written: nothing else may be
taken, no other exception come up, no read hang, and none take more than twice the memory of the honest file.

    python -m benchmarks.mutations
    python -m benchmarks.mutations --kinds "coded tensors" --output benchmarks/results/mutations_coded.json
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import queue
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from benchmarks.mutated.honest_run import make_runs
from benchmarks.mutated.judge import FAULTS, OUTCOMES, STUCK_SECONDS, Judge, Outcome, limit_addresses
from benchmarks.mutated.kinds import KINDS
from ofa.paths import write_json
from search.device.standalone.machine import describe_machine

SHOWN = 40  # faults that are kept whole
QUIET_SECONDS = 2 * STUCK_SECONDS  # after which a worker that says nothing hangs where no signal reaches it


def worker(folder: Path, seed: int, numbers: range, end: float, kinds: Sequence[str], told: Any) -> None:
    """Judges mutations in a copy of the runs of its own, and puts what came of each into a queue, then None."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    torch.set_num_threads(1)
    os.chdir(folder)
    judge = Judge(Path(), seed, kinds)
    limit_addresses()
    for number in numbers:
        if time.time() > end:
            break
        told.put(next(iter(judge.outcomes([number]))))
    told.put(None)


def outcomes(
    runs: Path, seed: int, count: int, workers: int, seconds: float, kinds: Sequence[str] = ()
) -> Iterator[Outcome]:
    """Yields what came of each mutation that was made within so many seconds, in order within a worker.

    Args:
        kinds: names of the kinds of file that are mutated; none: all.
    """
    end = time.time() + seconds
    with tempfile.TemporaryDirectory() as folder:
        copies = [Path(folder) / str(index) for index in range(workers)]
        for copy in copies:
            shutil.copytree(runs, copy)
        parts = [range(index, count, workers) for index in range(workers)]
        queues = [multiprocessing.get_context("spawn").Queue() for _ in parts]
        jobs = [_start(*each, seed, end, kinds) for each in zip(copies, parts, queues, strict=True)]
        heard = [time.time()] * workers
        while any(parts):
            for index in range(workers):
                if not parts[index]:
                    continue
                try:
                    outcome: Outcome | None = queues[index].get(timeout=0.2)
                except queue.Empty:
                    died = not jobs[index].is_alive()
                    if died or time.time() - heard[index] > QUIET_SECONDS:
                        jobs[index].kill()
                        jobs[index].join()
                        number, parts[index] = parts[index][0], parts[index][1:]
                        what = "CRASHED" if died else "HUNG"
                        yield Outcome(number, "any", "any", what, f"the process ended with {jobs[index].exitcode}", "")
                        shutil.rmtree(copies[index])
                        shutil.copytree(runs, copies[index])
                        queues[index] = multiprocessing.get_context("spawn").Queue()
                        jobs[index] = _start(copies[index], parts[index], queues[index], seed, end, kinds)
                        heard[index] = time.time()
                    continue
                heard[index] = time.time()
                parts[index] = parts[index][1:] if outcome else range(0)
                if outcome:
                    yield outcome
        for job in jobs:
            job.join()


def _start(folder: Path, numbers: range, told: Any, seed: int, end: float, kinds: Sequence[str]) -> BaseProcess:
    arguments = (folder, seed, numbers, end, kinds, told)
    job = multiprocessing.get_context("spawn").Process(target=worker, args=arguments)
    job.start()
    return job


def rows_of(made: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Returns a row a kind of file: how many mutations, and what came of them."""
    kinds = sorted({each.kind for each in made})
    counts = {kind: Counter(each.outcome for each in made if each.kind == kind) for kind in kinds}
    return [
        {
            "kind": kind,
            "mutations": sum(counts[kind].values()),
            **{name: counts[kind][name] for name in OUTCOMES},
            "processor seconds": round(sum(each.seconds for each in made if each.kind == kind), 2),
            "peak MB": round(max(each.bytes for each in made if each.kind == kind) / 2**20, 1),
        }
        for kind in kinds
    ]


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Prints the rows and their sum as Markdown."""
    names = ("mutations", *OUTCOMES, "processor seconds", "peak MB")
    total = {"kind": "all", **{name: sum(row[name] for row in rows) for name in names[:-1]}}
    total |= {"processor seconds": round(total["processor seconds"]), "peak MB": max(row["peak MB"] for row in rows)}
    print(f"\n| kind | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for row in (*rows, total):
        print(f"| {row['kind']} | {' | '.join(str(row[name]) for name in names)} |")


def main() -> int:
    """Returns 0 where every mutation was made in time and the product is at fault nowhere."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--minutes", type=float, default=25.0, help="for all of them, without making the runs")
    parser.add_argument("--runs", type=Path, help="a folder where they were made before, or are to be made and kept")
    parser.add_argument("--kinds", nargs="+", default=[], choices=[kind.name for kind in KINDS], metavar="KIND")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/mutations.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    made: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        runs = (options.runs or Path(folder) / "runs").absolute()
        if not runs.exists():
            make_runs(runs)
        start = time.time()
        limit = 60 * options.minutes
        for outcome in outcomes(runs, options.seed, options.count, options.workers, limit, options.kinds):
            made.append(outcome)
            if outcome.is_fault:
                print(outcome, flush=True)
            if len(made) % 5000 == 0:
                print(f"{len(made)} of {options.count} in {time.time() - start:.0f} s", flush=True)
        seconds = time.time() - start
    rows, faults = rows_of(made), [each for each in made if each.outcome in FAULTS]
    print_table(rows)
    print(f"\n{len(made)} mutations in {seconds:.0f} s, {len(faults)} faults")
    content = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(),
        "options": {name: str(value) for name, value in vars(options).items() if name not in ("output", "runs")},
        "mutations": len(made),
        "seconds": round(seconds),
        "rows": rows,
        "faults": [vars(each) for each in faults[:SHOWN]],
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.output, content)
    return 1 if faults or len(made) < options.count else 0


if __name__ == "__main__":
    sys.exit(main())
