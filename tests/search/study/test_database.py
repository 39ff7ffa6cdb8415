"""A study in a database: addresses without secrets, and a real PostgreSQL server where one is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy
from optuna.storages import RDBStorage

from ofa.errors import InvalidInput
from search.candidates.history import history_of
from search.candidates.space import Candidate, Evaluation
from search.candidates.trials import trial_rows
from search.config.rules import check_address
from search.report.dashboard import address as dashboard_address
from search.report.dashboard import make_dashboard
from search.samplers import tpe
from search.study.database import Place, opened, with_credentials
from search.study.step import conclude, propose_step, set_next
from search.study.study import open_study, run_study
from tests.search.study.postgres_server import postgres_server, server_programs
from tests.search.study.shared_study import MakePlan, check_whole

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
def test_a_second_driver_is_told_who_drives(tmp_path: Path, server: str) -> None:
    make = MakePlan(tmp_path, 40, seconds=0.0, name="two")
    with opened(Place(tmp_path / "a" / "j.log", server), "two"):
        with pytest.raises(InvalidInput, match=rf"is being searched by process {os.getpid()} on .*: one process"):
            run_study(make(), Place(tmp_path / "b" / "j.log", server))
        run_study(replace(make, name="another", evaluations=3)(), Place(tmp_path / "b" / "j.log", server))
    result = run_study(make(), Place(tmp_path / "b" / "j.log", server))
    check_whole(trial_rows(result.study), 40)


@pytest.mark.slow
def test_a_driver_that_dies_is_continued_from_another_folder(tmp_path: Path, server: str) -> None:
    script = (
        "import os, sys; from dataclasses import replace; from pathlib import Path\n"
        "from search.study.database import Place\n"
        "from search.study.study import run_study\n"
        "from tests.search.study.shared_study import MakePlan\n"
        "plan = MakePlan(Path(sys.argv[1]), 6, name='silent')()\n"
        "begun = lambda: any(Path(sys.argv[1]).glob('*.jsonl'))\n"
        "evaluate = lambda candidate: os._exit(9) if begun() else plan.evaluate(candidate)\n"
        "run_study(replace(plan, evaluate=evaluate), Place(Path(sys.argv[1]) / 'there' / 'j.log', sys.argv[2]))\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path), server], cwd=ROOT).returncode == 9
    result = run_study(MakePlan(tmp_path, 6, seconds=0.0, name="silent")(), Place(tmp_path / "here" / "j.log", server))
    check_whole(trial_rows(result.study), 6)
    assert [trial.number for trial in result.study.trials if "resumed" in trial.user_attrs] == [1]


@pytest.mark.slow
def test_a_trial_is_two_transactions(tmp_path: Path, server: str) -> None:
    """One claims it, one ends it, whatever it holds; the history is not read again."""
    make = MakePlan(tmp_path, 8, seconds=0.0, name="counted")
    run_study(make(), Place(tmp_path / "j.log", server))
    with opened(Place(tmp_path / "j.log", server), "counted") as storage:
        assert isinstance(storage, RDBStorage)
        commits: list[object] = []
        statements: list[str] = []
        sqlalchemy.event.listen(storage.scoped_session.session_factory, "after_commit", commits.append)
        study = open_study(replace(make, evaluations=20)(), storage, Place(tmp_path / "j.log", server))
        plan, before = replace(make, evaluations=20)(), len(commits)
        listen = sqlalchemy.event.listen
        listen(storage.engine, "before_cursor_execute", lambda *event: statements.append(event[2]))
        for _ in range(5):
            history = history_of(study)
            set_next(study, plan, [], history)
            step = propose_step(study, plan, history)
            if step.refused is None:
                future: Future[Evaluation] = Future()
                future.set_result(plan.evaluate(step.candidate))
                conclude(study, plan, step, future)
    assert 5 <= len(commits) - before <= 3 * 5
    assert 4 * 5 <= len(statements) <= 10 * 5  # of whatever number of parameters and attributes


@pytest.mark.slow
def test_a_driver_that_loses_its_lock_ends(tmp_path: Path, server: str) -> None:
    """Its lock is gone with the connection that held it: what it would write next is refused."""
    make = MakePlan(tmp_path, 6, seconds=0.0, name="lost")
    plan, asked = make(), []

    def evaluate(candidate: Candidate) -> Evaluation:
        asked.append(candidate)
        if len(asked) == 2:
            whose = f"application_name LIKE 'process {os.getpid()} on %'"
            cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {whose}"
            engine = sqlalchemy.create_engine(with_credentials(server, os.environ))
            with engine.connect() as connection:
                assert len(connection.execute(sqlalchemy.text(cut)).all()) == 1
            engine.dispose()
        return plan.evaluate(candidate)

    with pytest.raises(InvalidInput, match=r"^storage=postgresql:.*run the same command to resume$") as error:
        run_study(replace(plan, evaluate=evaluate), Place(tmp_path / "j.log", server))
    assert "\n" not in str(error.value) and len(asked) == 2
    result = run_study(make(), Place(tmp_path / "j.log", server))
    check_whole(trial_rows(result.study), 6)
    assert [trial.number for trial in result.study.trials if "resumed" in trial.user_attrs] == [1]


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
    assert [name for name in names if name.startswith("shown (run=")]
