"""Several processes on one study: nothing lost, nothing doubled, whoever is killed and whatever fails."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState

from ofa.errors import InvalidInput
from search.candidates.trials import KILLED, WORKER, TrialProgress, trial_rows
from search.run.file_lock import is_free
from search.samplers import random
from search.study.database import Place, opened
from search.study.study import load_study, open_study, run_study
from search.study.uninterrupted import retry_lost_trials
from search.study.workers import _portable, run_workers
from tests.search.study.shared_study import MakePlan, check_whole, noted

ROOT = Path(__file__).parents[3]


def worker_locks_free(folder: Path) -> list[bool]:
    return [is_free(path) for path in folder.glob("*.worker")]


pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no lock that ends with its owner")


@pytest.mark.slow
def test_workers_share_a_study_and_one_goes_on_alone(tmp_path: Path) -> None:
    ends: list[TrialProgress] = []
    place = Place(tmp_path / "j.log")
    make = MakePlan(tmp_path, 24)
    result = run_workers(make(), make, 3, place, ends.append)
    assert result.evaluated == result.evaluated_now == 24
    check_whole(trial_rows(result.study), 24)
    calls = noted(tmp_path)
    assert len(calls) == len({call["digest"] for call in calls}) == 24
    done = [end.done for end in ends if end.is_evaluation]
    assert done == sorted(done) and done[-1] == 24
    workers = {trial.user_attrs["worker"] for trial in result.study.trials if "worker" in trial.user_attrs}
    assert {worker.split("-")[0] for worker in workers} == {str(call["pid"]) for call in calls}
    assert not list(tmp_path.glob("*.worker"))
    again = run_workers(make(), make, 3, place)
    assert (again.evaluated, again.evaluated_now) == (24, 0)
    alone = run_study(MakePlan(tmp_path, 30)(), tmp_path / "j.log")
    assert (alone.evaluated, alone.evaluated_now) == (30, 6)
    check_whole(trial_rows(alone.study), 30)


@pytest.mark.slow
def test_eight_workers_500_trials_and_three_kills(tmp_path: Path) -> None:
    """No trial lost, none doubled; each kill costs its own trial, which another worker makes again."""
    make = MakePlan(tmp_path, 500, seconds=0.02)
    killed: list[int] = []

    def kill_now_and_then() -> None:
        while len(killed) < 3 and not over.wait(0.5):
            calls = noted(tmp_path)
            alive = {call["pid"] for call in calls} - set(killed)
            if len(calls) > 80 * (len(killed) + 1):
                victim = sorted(alive)[0]
                try:
                    os.kill(victim, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                killed.append(victim)

    over = threading.Event()
    thread = threading.Thread(target=kill_now_and_then)
    thread.start()
    try:
        result = run_workers(make(), make, 8, Place(tmp_path / "j.log"))
    finally:
        over.set()
        thread.join()
    rows = trial_rows(result.study)
    check_whole(rows, 500)
    lost = [row for row in rows if row.state == "interrupted"]
    assert len(killed) == 3
    assert len(lost) <= 3
    assert {row.reason for row in lost} <= {KILLED}
    assert {row.arch for row in lost if row.arch} <= {row.arch for row in rows if row.state == "evaluated"}
    calls = noted(tmp_path)
    assert 500 <= len(calls) <= 500 + len(lost)
    assert {call["pid"] for call in calls} >= set(killed)


def test_a_trial_that_is_told_while_its_worker_ends_is_left_alone(tmp_path: Path) -> None:
    """Seen running, then told, then its worker's lock is gone: it is not lost."""
    place, plan = Place(tmp_path / "j.log"), MakePlan(tmp_path, 4)()
    with opened(place, "s") as shared:
        study = open_study(plan, shared, place)
        trial = study.ask()
        trial.set_user_attr(WORKER, "1-gone")
        running = study.get_trials(deepcopy=True)
        study.tell(trial, [0.5, 1.0])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(study, "get_trials", lambda **options: running)
            retry_lost_trials(study, shared, place, plan.space, begins=False)
        (told,) = study.get_trials()
        assert told.state == TrialState.COMPLETE


@pytest.mark.slow
def test_one_in_five_that_raise_are_nan_or_kill_their_worker(tmp_path: Path) -> None:
    make = MakePlan(tmp_path, 60, random, fails=2)
    result = run_workers(make(), make, 4, Place(tmp_path / "j.log"))
    rows = trial_rows(result.study)
    check_whole(rows, 60)
    reasons = {row.reason for row in rows if row.state == "failed"}
    assert reasons == {"out of memory", "accuracy is nan", "3 workers died at it"}
    assert 3 <= sum(row.state == "failed" for row in rows) <= 24


@pytest.mark.slow
def test_a_worker_that_fails_ends_all_with_its_reason(tmp_path: Path) -> None:
    make = MakePlan(tmp_path, 40, fails=10, seconds=0.0, sampler=random)
    raising = MakePlan(tmp_path / "missing", 40)  # no folder for its notes
    with pytest.raises(RuntimeError, match="FileNotFoundError in a worker"):
        run_workers(raising(), raising, 2, Place(tmp_path / "a.log"))
    with pytest.raises(InvalidInput, match="evaluated subnets failed"):
        run_workers(make(), make, 2, Place(tmp_path / "b.log"))


def test_a_full_disk_comes_home_as_what_it_is() -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "a.log")
    sent = pickle.loads(pickle.dumps(_portable(error)))
    assert (type(sent), sent.errno, sent.filename) == (OSError, errno.ENOSPC, "a.log")
    assert type(_portable(FileNotFoundError(errno.ENOENT, "No such file", "a.log"))) is RuntimeError


@pytest.mark.slow
def test_stopped_by_the_keyboard_and_continued(tmp_path: Path) -> None:
    """Ctrl-C reaches the whole group; workers end with their parent, and the next call tries their trials again."""
    script = (
        "import signal, sys; from pathlib import Path; from search.study.database import Place\n"
        "from search.study.workers import run_workers\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in what a shell runs in the background
        "from tests.search.study.shared_study import MakePlan\n"
        "if __name__ == '__main__':\n"
        "    make = MakePlan(Path(sys.argv[1]), 5000, seconds=0.2)\n"
        "    tell = lambda row: print(row.done, flush=True)\n"
        "    run_workers(make(), make, 3, Place(Path(sys.argv[1]) / 'j.log'), tell)\n"
    )
    for stop in (signal.SIGINT, signal.SIGKILL):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert process.stdout is not None
        for _ in range(5):
            process.stdout.readline()
        if stop == signal.SIGINT:
            os.killpg(process.pid, stop)
        else:
            process.kill()  # the parent alone: its workers notice
        process.wait()
        end = time.monotonic() + 120
        while any(not free for free in worker_locks_free(tmp_path)):  # held: its worker lives
            assert time.monotonic() < end
            time.sleep(0.1)
    states = [row.state for row in trial_rows(load_study(tmp_path / "j.log", "s"))]
    evaluated = states.count("evaluated")
    assert 10 <= evaluated < 5000
    make = MakePlan(tmp_path, evaluated + 20, seconds=0.0)
    result = run_workers(make(), make, 2, Place(tmp_path / "j.log"))
    check_whole(trial_rows(result.study), evaluated + 20)
