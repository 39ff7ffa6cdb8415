"""A study in a database: addresses without secrets, and a real PostgreSQL server where one is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import TrialState

from ofa.errors import InvalidInput
from search.candidates.trials import KILLED, trial_rows
from search.config.search import check_address
from search.report.dashboard import address as dashboard_address
from search.report.dashboard import make_dashboard
from search.samplers import tpe
from search.study.database import Place, opened, with_credentials
from search.study.study import open_study, run_study
from search.study.workers import run_workers
from tests.search.study.postgres_server import postgres_server, server_programs
from tests.search.study.shared_study import MakePlan, check_whole, noted

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("postgresql://me:secret@db.host/ofa", "holds a password"),
        ("postgresql://db.host/ofa?password=secret", "holds a password"),
        ("sqlite:///study.db", "is SQLite, where every suggestion waits"),
        ("postgres://db.host/ofa", "did you mean postgresql"),
        ("redis://db.host/0", "'redis' is not known"),
        ("postgresql://db.host", "names no database"),
        ("secret words", "is not an address"),
    ],
)
def test_addresses_that_cannot_be_used(address: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as error:
        check_address(address)
    assert "secret" not in str(error.value)


def test_credentials_come_from_the_environment_alone() -> None:
    address = check_address("postgresql://db.host:5433/ofa")
    plain = with_credentials(address, {})
    assert plain.render_as_string(hide_password=False) == "postgresql+psycopg://db.host:5433/ofa"
    url = with_credentials(address, {"OFA_STORAGE_USER": "me", "OFA_STORAGE_PASSWORD": "p@ss"})
    assert (url.username, url.password) == ("me", "p@ss")
    assert with_credentials("mysql://me@db.host/ofa", {}).drivername == "mysql+pymysql"


def test_a_server_that_is_not_there_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psycopg")
    monkeypatch.setenv("OFA_STORAGE_PASSWORD", "secret")
    with pytest.raises(InvalidInput, match=r"^storage=postgresql:///ofa\?host=/nowhere: ") as error:
        run_study(MakePlan(tmp_path, 4)(), Place(tmp_path / "j.log", "postgresql:///ofa?host=/nowhere"))
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    pytest.importorskip("psycopg")
    if server_programs() is None:
        pytest.skip("no PostgreSQL server is installed (initdb and pg_ctl)")
    before = os.environ.get("OFA_STORAGE_USER")
    os.environ["OFA_STORAGE_USER"] = "ofa"
    try:
        with postgres_server() as address:
            yield address
    finally:
        del os.environ["OFA_STORAGE_USER"]
        if before is not None:
            os.environ["OFA_STORAGE_USER"] = before


@pytest.mark.slow
def test_the_same_study_as_in_a_journal(tmp_path: Path, server: str) -> None:
    make = MakePlan(tmp_path, 12, tpe, seconds=0.0, name="same")
    there = run_study(make(), Place(tmp_path / "db" / "j.log", server))
    here = run_study(make(), tmp_path / "j.log")
    assert [row.arch for row in trial_rows(there.study)] == [row.arch for row in trial_rows(here.study)]
    assert there.study.metric_names == here.study.metric_names
    again = run_study(replace(make, evaluations=14)(), Place(tmp_path / "db" / "j.log", server))
    assert (again.evaluated, again.evaluated_now) == (14, 2)
    with pytest.raises(InvalidInput, match=r"study 'same' in postgresql:///.* is of another seed \(0 there, 1 now\)"):
        run_study(replace(make, seed=1)(), Place(tmp_path / "db" / "j.log", server))


@pytest.mark.slow
def test_two_machines_share_a_study(tmp_path: Path, server: str) -> None:
    """Two calls at once with folders of their own: what one has, the other does not evaluate."""
    make = MakePlan(tmp_path, 40, seconds=0.02, name="two")
    script = (
        "import sys; from pathlib import Path; from search.study.database import Place\n"
        "from search.study.study import run_study\n"
        "from tests.search.study.shared_study import MakePlan\n"
        "folder = Path(sys.argv[1])\n"
        "plan = MakePlan(folder.parent, 40, seconds=0.02, name='two')()\n"
        "run_study(plan, Place(folder / 'j.log', sys.argv[2]))\n"
    )
    command = [[sys.executable, "-c", script, str(tmp_path / name), server] for name in ("a", "b")]
    processes = [subprocess.Popen(one, cwd=ROOT) for one in command]
    assert [process.wait() for process in processes] == [0, 0]
    result = run_study(make(), Place(tmp_path / "c" / "j.log", server))
    assert result.evaluated_now == 0
    check_whole(trial_rows(result.study), 40)
    calls = noted(tmp_path)
    assert len(calls) == len({call["digest"] for call in calls}) == 40
    assert len({call["pid"] for call in calls}) == 2


@pytest.mark.slow
def test_a_machine_that_falls_silent_loses_its_trial_alone(tmp_path: Path, server: str) -> None:
    """Its lock is not here, so that its heartbeat alone tells."""
    make = MakePlan(tmp_path, 6, seconds=0.0, name="silent")
    there = Place(tmp_path / "there" / "j.log", server, heartbeat_seconds=1)
    script = (
        "import os, sys; from dataclasses import replace; from pathlib import Path\n"
        "from search.study.database import Place\n"
        "from search.study.study import run_study\n"
        "from tests.search.study.shared_study import MakePlan\n"
        "plan = MakePlan(Path(sys.argv[1]), 6, name='silent')()\n"
        "place = Place(Path(sys.argv[1]) / 'there' / 'j.log', sys.argv[2], heartbeat_seconds=1)\n"
        "run_study(replace(plan, evaluate=lambda candidate: os._exit(9)), place)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path), server], cwd=ROOT).returncode == 9
    here = Place(tmp_path / "here" / "j.log", server, heartbeat_seconds=1)
    start = time.monotonic()
    result = run_study(make(), here)
    assert time.monotonic() - start > 4  # six heartbeats, less what the other process took to end
    rows = trial_rows(result.study)
    check_whole(rows, 6)
    (lost,) = [row for row in rows if row.state == "interrupted"]
    assert lost.reason == KILLED
    assert lost.arch in {row.arch for row in rows if row.state == "evaluated"}
    with opened(there, "silent") as shared:
        study = open_study(make(), shared, there)
        assert not study.get_trials(states=(TrialState.RUNNING, TrialState.WAITING))


@pytest.mark.slow
@pytest.mark.long
def test_eight_workers_make_500_trials(tmp_path: Path, server: str) -> None:
    make = MakePlan(tmp_path, 500, seconds=0.02, name="many")
    killed: list[int] = []
    over = threading.Event()

    def kill_one() -> None:
        while not killed and not over.wait(0.5):
            if len(calls := noted(tmp_path)) > 150:
                killed.append(calls[0]["pid"])
                os.kill(killed[0], 9)

    thread = threading.Thread(target=kill_one)
    thread.start()
    try:
        result = run_workers(make(), make, 8, Place(tmp_path / "j.log", server))
    finally:
        over.set()
        thread.join()
    assert killed
    rows = trial_rows(result.study)
    check_whole(rows, 500)
    lost = [row for row in rows if row.state == "interrupted"]
    assert len(lost) <= 1
    assert 500 <= len(noted(tmp_path)) <= 500 + len(lost)


def test_the_dashboard_shows_it(tmp_path: Path, server: str) -> None:
    pytest.importorskip("optuna_dashboard")
    place = Place(tmp_path / "j.log", server)
    run_study(MakePlan(tmp_path, 3, seconds=0.0, name="shown")(), place)
    page = make_dashboard(place, 0)
    threading.Thread(target=page.serve_forever, daemon=True).start()
    try:
        url = dashboard_address(page).removesuffix("/dashboard/")
        with urllib.request.urlopen(f"{url}/api/studies", timeout=20) as answer:
            names = [study["study_name"] for study in json.load(answer)["study_summaries"]]
    finally:
        page.shutdown()
        page.server_close()
    assert "shown" in names
