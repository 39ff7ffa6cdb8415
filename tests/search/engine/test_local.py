"""Evaluators of this machine: nothing lost, nothing doubled, whoever is killed and whatever fails."""

from __future__ import annotations

import errno
import os
import pickle
import random as chance
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from ofa.errors import InvalidInput
from search.candidates.space import Candidate, Evaluation
from search.candidates.trials import TrialProgress, trial_rows
from search.engine import Engine, EvaluatorDied, Source, local
from search.engine.engine import portable
from search.samplers import random
from search.study.study import load_study, run_study
from tests.search.study.shared_study import ORACLE, MakePlan, check_whole, noted, run_shared

ROOT = Path(__file__).parents[3]
SCRIPT = """
import signal, sys
from pathlib import Path
from tests.search.study.shared_study import MakePlan, run_shared
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell runs in the background
if __name__ == "__main__":
    folder, evaluations, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    tell = lambda row: print(row.done, flush=True)
    run_shared(MakePlan(folder, evaluations, seconds=seconds), 4, folder / "j.log", tell)
"""


def driver(folder: Path, evaluations: int, seconds: float) -> subprocess.Popen[str]:
    """Returns a process that drives a study with four evaluators, and prints how many evaluations are done."""
    command = [sys.executable, "-c", SCRIPT, str(folder), str(evaluations), str(seconds)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True, text=True
    )


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody waits for counts."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z"
    except FileNotFoundError:
        return True


def done(engine: Engine, future: Future[Evaluation]) -> Future[Evaluation]:
    """Returns the future once it is done."""
    while not future.done():
        engine.wait()
    return future


def work(_: object) -> Any:
    """Returns an evaluator that asks twice whether to go on, and gives the oracle's accuracy or what it is told."""

    def of(candidate: Candidate, gate: Any) -> Evaluation:
        if candidate == ORACLE.candidates.smallest:
            os.kill(os.getpid(), signal.SIGKILL)
        if candidate == ORACLE.candidates.largest:
            time.sleep(600)
        epochs = [epoch for epoch in (1, 2) if gate(epoch, float(os.getpid()))]
        return Evaluation({}, 0.0, stopped_at=None if len(epochs) == 2 else epochs[-1])

    return of


@pytest.mark.slow
def test_the_seam() -> None:
    """Gates are asked in this process; a candidate that kills is tried again; one that is cancelled frees its place."""
    space, asked = ORACLE.candidates, []
    source = Source(work(None), work)

    def gate(epoch: int, value: float) -> bool:
        asked.append((epoch, value, os.getpid()))
        return epoch < 2

    with local(source, workers=2, retries=1) as engine:
        while engine.free < 2:
            engine.wait()
        future = engine.submit(space.at_level(0.5), gate)
        assert engine.free == 1
        assert done(engine, future).result().stopped_at == 1
        assert [(epoch, pid) for epoch, _, pid in asked] == [(1, os.getpid()), (2, os.getpid())]
        assert {value for _, value, _ in asked} != {float(os.getpid())}
        with pytest.raises(EvaluatorDied, match="2 evaluators died at it, the last killed by signal 9"):
            done(engine, engine.submit(space.smallest, gate)).result()
        endless = engine.submit(space.largest, gate)
        engine.cancel(endless)
        assert endless.cancelled()
        after = engine.submit(space.at_level(0.5), gate)
        assert done(engine, after).result().stopped_at == 1


@pytest.mark.parametrize(("options", "message"), [({"workers": 0}, "workers=0"), ({"retries": -1}, "retries=-1")])
def test_options_out_of_range(options: dict[str, int], message: str) -> None:
    with pytest.raises(InvalidInput, match=rf"engine\.{message} must be a whole number of at least"):
        with local(Source(work(None), work), **options):
            pass


@pytest.mark.slow
def test_evaluators_share_a_study_and_one_goes_on_alone(tmp_path: Path) -> None:
    ends: list[TrialProgress] = []
    make = MakePlan(tmp_path, 24, together=3)
    result = run_shared(make, 3, tmp_path / "j.log", ends.append)
    assert result.evaluated == result.evaluated_now == 24
    check_whole(trial_rows(result.study), 24)
    calls = noted(tmp_path)
    assert len(calls) == len({call["digest"] for call in calls}) == 24
    assert len({call["pid"] for call in calls}) == 3
    counted = [end.done for end in ends if end.is_evaluation]
    assert counted == list(range(1, 25))
    again = run_shared(make, 3, tmp_path / "j.log")
    assert (again.evaluated, again.evaluated_now) == (24, 0)
    alone = run_study(MakePlan(tmp_path, 30)(), tmp_path / "j.log")
    assert (alone.evaluated, alone.evaluated_now) == (30, 6)
    check_whole(trial_rows(alone.study), 30)


@pytest.mark.slow
def test_one_in_five_that_raise_are_nan_or_kill_their_evaluator(tmp_path: Path) -> None:
    result = run_shared(MakePlan(tmp_path, 60, random, fails=2), 4, tmp_path / "j.log")
    rows = trial_rows(result.study)
    check_whole(rows, 60)
    poison = [row for row in rows if row.reason.startswith("3 evaluators died at it")]
    assert {row.state for row in poison} == {"failed"}
    others = {row.reason for row in rows if row.state == "failed"} - {row.reason for row in poison}
    assert others == {"out of memory", "accuracy is nan"}
    tried = [call["digest"] for call in noted(tmp_path)]
    digests = {row.candidate.digest for row in poison if row.candidate is not None}
    assert digests and all(tried.count(digest) == 3 for digest in digests)
    assert all(tried.count(digest) == 1 for digest in set(tried) - digests)


@pytest.mark.slow
def test_an_evaluator_that_fails_ends_all_with_its_reason(tmp_path: Path) -> None:
    missing = MakePlan(tmp_path / "missing", 40)  # no folder for its notes
    with pytest.raises(RuntimeError, match="FileNotFoundError in an evaluator"):
        run_shared(missing, 2, tmp_path / "a.log")
    failing = MakePlan(tmp_path, 40, fails=10, seconds=0.0, sampler=random)
    with pytest.raises(InvalidInput, match="evaluated subnets failed"):
        run_shared(failing, 2, tmp_path / "b.log")


def killing(_: object) -> Any:
    """Ends its process before it begins."""
    os._exit(3)


@pytest.mark.slow
def test_evaluators_that_cannot_begin() -> None:
    with local(Source(work(None), killing), workers=2) as engine:
        with pytest.raises(InvalidInput, match="every evaluator was ended with exit code 3 before it began; try fewer"):
            while True:
                engine.wait()


def test_a_full_disk_comes_home_as_what_it_is() -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "a.log")
    sent = pickle.loads(pickle.dumps(portable(error)))
    assert (type(sent), sent.errno, sent.filename) == (OSError, errno.ENOSPC, "a.log")
    assert type(portable(FileNotFoundError(errno.ENOENT, "No such file", "a.log"))) is RuntimeError


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes as Linux shows them")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_driver_that_is_stopped_is_continued(tmp_path: Path, stop: signal.Signals) -> None:
    """Ctrl-C reaches the whole group, a kill the driver alone: its evaluators end, and what they had is made again."""
    process = driver(tmp_path, 5000, 0.2)
    assert process.stdout is not None
    for _ in range(5):
        process.stdout.readline()
    if stop == signal.SIGINT:
        os.killpg(process.pid, stop)
    else:
        process.kill()
    process.wait()
    end = time.monotonic() + 60
    while not all(is_gone(call["pid"]) for call in noted(tmp_path)):
        assert time.monotonic() < end
        time.sleep(0.1)
    running = [trial.number for trial in load_study(tmp_path / "j.log", "s").trials if not trial.state.is_finished()]
    evaluated = sum(row.state == "evaluated" for row in trial_rows(load_study(tmp_path / "j.log", "s")))
    assert running and 4 <= evaluated < 5000
    result = run_shared(MakePlan(tmp_path, evaluated + 20, seconds=0.0), 2, tmp_path / "j.log")
    rows = trial_rows(result.study)
    check_whole(rows, evaluated + 20)
    assert {row.number for row in rows if row.state == "evaluated"} >= set(running)


@pytest.mark.slow
@pytest.mark.long
def test_500_trials_under_kills(tmp_path: Path) -> None:
    """Evaluators are killed at random, and once the driver: no trial is lost, none doubled, none failed."""
    moments, over, killed = chance.Random(0), threading.Event(), []

    def kill_now_and_then() -> None:  # after so many calls, since an evaluator takes seconds to begin
        next_kill = 0.0
        while not over.wait(0.1):
            calls = noted(tmp_path)
            alive = [pid for pid in {call["pid"] for call in calls} if not is_gone(pid)]
            if alive and len(calls) > next_kill:
                next_kill = len(calls) + moments.uniform(30, 90)
                victim = moments.choice(sorted(alive))
                try:
                    os.kill(victim, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                killed.append(victim)

    thread = threading.Thread(target=kill_now_and_then)
    thread.start()
    try:
        first = driver(tmp_path, 500, 0.05)
        assert first.stdout is not None
        while int(first.stdout.readline()) < 200:
            pass
        first.kill()
        first.wait()
        result = run_shared(MakePlan(tmp_path, 500, seconds=0.05), 4, tmp_path / "j.log", retries=20)
    finally:
        over.set()
        thread.join()
    assert len(killed) >= 5
    rows = trial_rows(result.study)
    check_whole(rows, 500)
    assert {row.state for row in rows} <= {"evaluated", "infeasible", "duplicate"}
    calls = [call["digest"] for call in noted(tmp_path)]
    assert 500 <= len(calls) <= 500 + len(killed) + 4
    assert len(set(calls)) == 500
