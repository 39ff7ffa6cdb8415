"""Evaluators that are actors of a Ray cluster, here of two pretended GPUs: as those of this machine."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ofa.errors import InvalidInput
from search.candidates.space import Candidate, Evaluation
from search.candidates.trials import trial_rows
from search.engine import Engine, EvaluatorDied, Source, alone, local, ray
from search.study.study import run_study
from tests.search.study.shared_study import ORACLE, MakePlan, check_whole, noted, work_of


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "engine.workers=0 must be a whole number of at least 1"),
        ({"cpus_per_worker": -1}, "engine.cpus_per_worker=-1 must be a number of at least 0"),
        ({"gpus_per_worker": "all"}, "engine.gpus_per_worker='all' must be a number of at least 0"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message), ray(Source(placed(None), placed), **options):
        pass


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=r"engine=ray needs Ray: pip install 'ofa-search\[ray\]'"):
        with ray(Source(placed(None), placed)):
            pass


def placed(_: object) -> Any:
    """Returns an evaluator that asks once, and tells its GPUs; the smallest candidate kills it."""

    def of(candidate: Candidate, gate: Any) -> Evaluation:
        if candidate == ORACLE.candidates.smallest:
            os.kill(os.getpid(), signal.SIGKILL)
        gpus = len(os.environ["CUDA_VISIBLE_DEVICES"].split(","))
        time.sleep(0.2)
        return Evaluation({}, 0.0, figures={"gpus": gpus}, stopped_at=1 if gate(1, 0.5) else None)

    return of


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")  # on a busy machine
    library = pytest.importorskip("ray")
    resources = {"timing": 1}
    library.init(
        num_cpus=2,
        num_gpus=2,
        resources=resources,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield library
    library.shutdown()


@pytest.mark.slow
@pytest.mark.long  # a cluster takes a minute to begin
def test_the_seam(cluster: Any) -> None:
    """Half a GPU each; gates are asked in this process; a candidate that kills each time fails once."""
    asked: list[int] = []
    space = ORACLE.candidates

    def gate(epoch: int, value: float) -> bool:
        asked.append(os.getpid())
        return True

    with pytest.raises(InvalidInput, match=r"engine\.gpus_per_worker=3: the cluster has 2 GPUs in all"):
        with ray(Source(placed(None), placed), gpus_per_worker=3):
            pass
    options = {"workers": 2, "cpus_per_worker": 0.5, "gpus_per_worker": 0.5, "retries": 1}
    with ray(Source(placed(None), placed), **options) as engine:
        good, bad = engine.submit(space.at_level(0.5), gate), engine.submit(space.smallest, gate)
        while not (good.done() and bad.done()):
            engine.wait()
        assert good.result().figures == {"gpus": 1}
        assert good.result().stopped_at == 1
        assert asked == [os.getpid()]
        with pytest.raises(EvaluatorDied, match="2 evaluators died at it"):
            bad.result()
        cancelled = engine.submit(space.at_level(0.6), gate)
        engine.cancel(cancelled)
        again = engine.submit(space.at_level(0.5), gate)
        while not again.done():
            engine.wait()
        assert cancelled.cancelled() and again.result().stopped_at == 1


@pytest.mark.slow
@pytest.mark.long  # a cluster takes a minute to begin
def test_a_study_whose_actors_are_killed(cluster: Any, tmp_path: Path) -> None:
    make = MakePlan(tmp_path, 60, seconds=0.05)
    killed: list[int] = []
    over = threading.Event()

    def kill_twice() -> None:
        while len(killed) < 2 and not over.wait(0.1):
            calls = noted(tmp_path)
            alive = sorted({call["pid"] for call in calls} - set(killed))
            if alive and len(calls) > 15 * (len(killed) + 1):
                os.kill(alive[0], signal.SIGKILL)
                killed.append(alive[0])

    thread = threading.Thread(target=kill_twice)
    thread.start()
    try:
        engine = partial(ray, workers=2, gpus_per_worker=0.25, retries=2)
        result = run_study(make(), tmp_path / "j.log", None, engine, Source(make().work, partial(work_of, make)))
    finally:
        over.set()
        thread.join()
    rows = trial_rows(result.study)
    check_whole(rows, 60)
    assert len(killed) == 2
    assert {row.state for row in rows} <= {"evaluated", "infeasible", "duplicate"}


@pytest.mark.slow
@pytest.mark.long  # a cluster takes a minute to begin
def test_who_measures_has_the_timing_of_its_machine(cluster: Any) -> None:
    """It waits for evaluators of other searches to end, and none begins beside it; engine=local has no such thing."""
    held, over = threading.Event(), threading.Event()

    def measure() -> None:
        with alone(partial(ray, workers=1)):
            held.set()
            over.wait(300)

    def waits_for(engine: Engine) -> None:
        while engine.free < 1:
            engine.wait()

    measurement = threading.Thread(target=measure)
    with ray(Source(placed(None), placed), cpus_per_worker=0.5) as first:
        waits_for(first)
        measurement.start()
        assert not held.wait(5)
    assert held.wait(60)
    with alone(partial(local, workers=2)), alone(partial(ray, address="local")):  # at once
        assert cluster.available_resources().get("timing", 0) == 0
    with ray(Source(placed(None), placed), cpus_per_worker=0.5) as second:
        begins = threading.Thread(target=waits_for, args=(second,))
        begins.start()
        begins.join(5)
        assert begins.is_alive()
        over.set()
        begins.join(120)
        assert not begins.is_alive()
    measurement.join()
