"""Throughput of one study by 1, 2, 4 and 8 evaluators, in a journal and in PostgreSQL, side by side.

The evaluation sleeps, so that the cores do not limit, or computes on one core; the space is analytic, with 45 choices,
and the sampler the evolution of Once-for-All. Counted is the second half of the evaluations: all evaluators are there
by then. PostgreSQL is left out where no server is installed.

    python -m benchmarks.many_evaluators
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from ofa.paths import write_json
from ofa.task import Score
from search.candidates.limits import Limits
from search.candidates.space import Candidate, Evaluation, Work
from search.candidates.trials import trial_rows
from search.device.standalone.machine import describe_machine
from search.engine import Source, local
from search.samplers import evolution
from search.study.database import Place
from search.study.plan import SearchPlan
from search.study.study import run_study
from tests.search.scored import ACCURACY
from tests.search.study.postgres_server import postgres_server, server_programs
from tests.search.synthetic import Oracle, block_space

ORACLE = Oracle(block_space())
LARGEST = float(ORACLE.figures([ORACLE.space.largest])["latency_ms"][0])


@dataclass(frozen=True)
class Make:
    """Makes the plan; `kind` is what an evaluation of `seconds` does: "sleeps" or "computes"."""

    name: str
    evaluations: int
    kind: str
    seconds: float

    def evaluate(self, candidate: Candidate) -> Evaluation:
        """Returns the oracle's accuracy, after the time that an evaluation takes."""
        if self.kind == "sleeps":
            time.sleep(self.seconds)
        else:
            end = time.process_time() + self.seconds
            while time.process_time() < end:
                sum(number * number for number in range(1000))
        return Evaluation({ACCURACY.name: Score(ORACLE.accuracy(candidate.arch), 1)}, self.seconds)

    def __call__(self) -> SearchPlan:
        """Returns the plan."""
        limits = Limits(({"latency_ms": 0.7 * LARGEST},))
        return SearchPlan(
            self.name,
            ORACLE.candidates,
            ORACLE.candidate_figures,
            self.evaluate,
            self.evaluations,
            (ACCURACY,),
            limits,
            sampler=evolution,
        )


def work_of(make: Make, _: object) -> Work:
    """Returns what an evaluator in another process does."""
    return make().work


def throughput(make: Make, workers: int, place: Place) -> dict[str, float]:
    """Returns evaluations a second in the second half, and the seconds of the whole call."""
    start = time.monotonic()
    plan = make()
    source = Source(plan.work, partial(work_of, make))
    result = run_study(plan, place, engine=partial(local, workers=workers), source=source)
    seconds = time.monotonic() - start
    rows = [row for row in trial_rows(result.study) if row.state == "evaluated"]
    assert len(rows) == len({row.arch for row in rows}) == make.evaluations
    ends = sorted(result.study.trials[row.number].datetime_complete.timestamp() for row in rows)  # type: ignore[union-attr]
    half = make.evaluations // 2
    return {"per_second": (len(ends) - half) / (ends[-1] - ends[half - 1]), "seconds": seconds}


@contextmanager
def storages() -> Iterator[dict[str, str | None]]:
    """Gives the addresses to try by name."""
    if server_programs() is None:
        yield {"journal": None}
        return
    os.environ["OFA_STORAGE_USER"] = "ofa"
    with postgres_server() as address:
        yield {"journal": None, "postgresql": address}


def main() -> None:
    """Measures in turns, prints a table and writes the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", default="1,2,4,8")
    parser.add_argument("--evaluations", type=int, default=32)
    parser.add_argument("--sleep", type=float, default=0.25, help="seconds of an evaluation that sleeps")
    parser.add_argument("--compute", type=float, default=0.1, help="processor seconds of an evaluation that computes")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/many_evaluators.json"))
    options = parser.parse_args()
    counts = [int(count) for count in options.workers.split(",")]
    found: dict[tuple[str, str, int], list[dict[str, float]]] = {}
    with storages() as addresses, tempfile.TemporaryDirectory() as folder:
        for turn in range(options.rounds):
            for kind, seconds in (("sleeps", options.sleep), ("computes", options.compute)):
                for workers in counts:
                    for storage, address in addresses.items():
                        name = f"{kind}-{workers}-{turn}"
                        place = Place(Path(folder) / name / storage / "journal.log", address)
                        one = throughput(Make(name, options.evaluations, kind, seconds), workers, place)
                        found.setdefault((kind, storage, workers), []).append(one)
                        print(f"{storage}, {kind}, {workers}: {one['per_second']:.2f} a second", flush=True)
    rows: list[dict[str, Any]] = [
        {
            "evaluation": kind,
            "storage": storage,
            "workers": workers,
            "per_second": statistics.median(run["per_second"] for run in runs),
            "runs": runs,
        }
        for (kind, storage, workers), runs in found.items()
    ]
    print("\n| evaluation | storage | evaluators | evaluations a second | times one evaluator |\n|---|---|---|---|---|")
    for row in rows:
        alone = found[row["evaluation"], row["storage"], counts[0]]
        times = row["per_second"] / statistics.median(run["per_second"] for run in alone)
        print(f"| {row['evaluation']} | {row['storage']} | {row['workers']} | {row['per_second']:.2f} | {times:.2f} |")
    content = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(),
        "options": {name: str(value) for name, value in vars(options).items() if name != "output"},
        "rows": rows,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.output, content)


if __name__ == "__main__":
    main()
