"""A plan that worker processes can make anew, and an evaluation that notes every call in a file of its own."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from search.candidates.limits import Limits
from search.candidates.search_files import TrialRow
from search.candidates.space import Candidate, Evaluation, Work
from search.engine import Source, local
from search.samplers import SamplerFactory, evolution
from search.study.database import Place
from search.study.plan import SearchPlan
from search.study.study import Progress, SearchResult, run_study
from tests.search.scored import ACCURACY, evaluation
from tests.search.synthetic import Oracle, block_space

ORACLE = Oracle(block_space(stages=3, blocks=3))
LARGEST = float(ORACLE.figures([ORACLE.space.largest])["latency_ms"][0])


@dataclass(frozen=True)
class Noted:
    """Evaluates by the oracle; a candidate's digest decides whether it raises, is NaN, or kills its process.

    Of ten candidates `fails` do one of the three. The first calls return when `together` processes have made one: a
    process that is slow to begin is waited for.
    """

    notes: Path
    seconds: float = 0.003
    fails: int = 0
    together: int = 0

    def __call__(self, candidate: Candidate) -> Evaluation:
        with open(self.notes / f"{os.getpid()}.jsonl", "a") as file:
            file.write(json.dumps({"digest": candidate.digest, "pid": os.getpid()}) + "\n")
        end = time.monotonic() + 120
        while len(list(self.notes.glob("*.jsonl"))) < self.together and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(self.seconds)
        number = int(candidate.digest[:8], 16)
        if number % 10 < self.fails:
            if number % 3 == 0:
                raise RuntimeError("out of memory")
            if number % 3 == 1:
                return evaluation(float("nan"), 0.0)
            os.kill(os.getpid(), 9)
        return evaluation(ORACLE.accuracy(candidate.arch), self.seconds)


@dataclass(frozen=True)
class MakePlan:
    """Makes the plan of a search; can be pickled."""

    notes: Path
    evaluations: int
    sampler: SamplerFactory = evolution
    seconds: float = 0.003
    fails: int = 0
    name: str = "s"
    seed: int = 0
    warm: tuple[Candidate, ...] = ()
    together: int = 0

    def __call__(self) -> SearchPlan:
        return SearchPlan(
            self.name,
            ORACLE.candidates,
            ORACLE.candidate_figures,
            Noted(self.notes, self.seconds, self.fails, self.together),
            self.evaluations,
            (ACCURACY,),
            Limits(({"latency_ms": 0.7 * LARGEST},)),
            sampler=self.sampler,
            seed=self.seed,
            identity={"supernet": "abc"},
            warm=self.warm,
        )


def work_of(make: MakePlan, _: object) -> Work:
    """Returns what an evaluator in another process does."""
    return make().work


def run_shared(
    make: MakePlan, workers: int, place: Path | Place, progress: Progress | None = None, **options: Any
) -> SearchResult:
    """Returns the study of a plan, evaluated by processes of this machine."""
    engine = partial(local, workers=workers, **options)
    return run_study(make(), place, progress, engine, Source(make().work, partial(work_of, make)))


def noted(folder: Path) -> list[dict[str, Any]]:
    """Returns every call of the evaluation, by whichever process."""
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


def check_whole(rows: list[TrialRow], evaluations: int) -> None:
    """Checks that nothing was lost or doubled: trials in order, and as many different candidates as asked for."""
    assert [row.number for row in rows] == list(range(len(rows)))
    counted = [row for row in rows if row.state in ("evaluated", "failed")]
    assert len(counted) == evaluations
    assert len({row.arch for row in counted}) == evaluations
