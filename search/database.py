"""A study in a database that several machines share: its address, its lock and its heartbeats."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.study import Study
from optuna.trial import FrozenTrial
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from ofa.errors import InvalidInput, nearest
from search.worker_locks import is_dead

DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql"}  # also the names of what brings them: ofa-search[...]
USER, PASSWORD = "OFA_STORAGE_USER", "OFA_STORAGE_PASSWORD"
MISSED_HEARTBEATS = 6  # until a worker is taken for dead
LOCK = {
    "postgresql": ("SELECT pg_advisory_lock(:key)", "SELECT pg_advisory_unlock(:key)"),
    "mysql": (
        "SELECT GET_LOCK(:key, 31536000)",
        "SELECT RELEASE_LOCK(:key)",
    ),  # a year: MariaDB waits for no negative number
}
NOTICE_LOST_MACHINES = (  # else a lock of a machine without power is held for hours
    "SET tcp_keepalives_idle = 30",
    "SET tcp_keepalives_interval = 10",
    "SET tcp_keepalives_count = 3",
)


def check_address(address: str) -> str:
    """Returns the address of a database for a study.

    Raises:
        InvalidInput: it is none, holds a password, or is of a kind that many writers do not share well.
    """
    try:
        url = make_url(address)
    except ArgumentError:
        raise InvalidInput(
            "storage is no address; it must be null or like postgresql://db.host/ofa"  # what it is could be a secret
        ) from None
    if url.password is not None or any("pass" in key.lower() for key in url.query):
        raise InvalidInput(
            "storage holds a password, and configurations are written to disk and shown: "
            f"leave it out and set {PASSWORD} (and {USER}) in the environment"
        )
    if url.drivername.startswith("sqlite"):
        raise InvalidInput(
            f"storage={address} is SQLite, where every suggestion waits for the one writer that it has: "
            "leave storage out for the journal file, which is quicker, or use postgresql:// for several machines"
        )
    if url.drivername not in DRIVERS:
        raise InvalidInput(f"storage={address}: {url.drivername!r} is not known; {nearest(url.drivername, DRIVERS)}")
    if not url.database:
        raise InvalidInput(f"storage={address} names no database; it must be like {url.drivername}://db.host/ofa")
    return address


def with_credentials(address: str, environment: Mapping[str, str]) -> URL:
    """Returns the address with its driver, and with user and password from the environment where they are there.

    PostgreSQL's own variables (PGUSER, PGPASSWORD, PGPASSFILE and so on) count where those are not set.
    """
    url = make_url(check_address(address))
    user, password = environment.get(USER), environment.get(PASSWORD)
    url = url.set(drivername=f"{url.drivername}+{DRIVERS[url.drivername]}")
    return url.set(username=user or url.username, password=password or None)


@dataclass(frozen=True)
class SharedDatabase:
    """A database as the workers of one study share it; `journal` is where the locks of this machine's lie."""

    journal: Path
    study: str
    storage: _CachedStorage
    connection: Connection  # the one that the lock belongs to: the server lets it go when that ends
    heartbeat_seconds: int

    def alone(self) -> AbstractContextManager[None]:
        """Nothing: calls on several machines are what a database is for."""
        return nullcontext()

    @contextmanager
    def claiming(self) -> Iterator[None]:
        """Holds the study for the next proposal, over all machines."""
        with _locked(self.connection, self.study):
            yield

    @contextmanager
    def working(self, study: Study, trial_id: int) -> Iterator[None]:
        """Sends Optuna's heartbeat of a trial for as long as it runs."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(self.heartbeat_seconds):
                self.storage.record_heartbeat(trial_id)

        self.storage.record_heartbeat(trial_id)
        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def is_dead(self, study: Study, trial: FrozenTrial, worker: str) -> bool:
        """Whether the lock of a worker of this machine is free, or the heartbeat of another's has stopped."""
        dead = is_dead(self.journal, self.study, worker)
        if dead is None:
            return trial._trial_id in self.storage._get_stale_trial_ids(study._study_id)
        return dead


@contextmanager
def open_database(address: str, journal: Path, study: str, heartbeat_seconds: int) -> Iterator[SharedDatabase]:
    """Gives one study of the database at `address`, whose tables are made when missing.

    Raises:
        InvalidInput: no driver is installed, the database cannot be reached, or fails on the way.
    """
    with _explained(address):
        engine = _engine(address)
        try:
            with engine.connect() as connection:
                if engine.dialect.name == "postgresql":
                    for statement in NOTICE_LOST_MACHINES:
                        connection.execute(sqlalchemy.text(statement))
                with _locked(connection, "tables"):  # two that make them at once get in each other's way
                    storage = _storage(address, heartbeat_seconds)
                yield SharedDatabase(journal, study, storage, connection, heartbeat_seconds)
        finally:
            engine.dispose()


def database_storage(address: str) -> _CachedStorage:
    """Returns the storage of all studies at `address`, to look at.

    Raises:
        InvalidInput: as `open_database`.
    """
    with _explained(address):
        return _storage(address, None)


def _engine(address: str) -> sqlalchemy.Engine:
    url = with_credentials(address, os.environ)
    kind = url.get_backend_name()
    if importlib.util.find_spec(DRIVERS[kind]) is None:
        raise InvalidInput(f"storage={address} needs {DRIVERS[kind]}: pip install 'ofa-search[{kind}]'")
    return sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")


def _storage(address: str, heartbeat_seconds: int | None) -> _CachedStorage:
    options: dict[str, Any] = {"engine_kwargs": {"isolation_level": "READ COMMITTED"}}  # MySQL reads old rows otherwise
    if heartbeat_seconds is not None:
        options |= {"heartbeat_interval": heartbeat_seconds, "grace_period": MISSED_HEARTBEATS * heartbeat_seconds}
    url = with_credentials(address, os.environ).render_as_string(hide_password=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return _CachedStorage(RDBStorage(url, **options))


@contextmanager
def _locked(connection: Connection, name: str) -> Iterator[None]:
    """Holds a lock of the database server, which ends with the connection at the latest."""
    kind = connection.dialect.name
    digest = hashlib.sha256(f"ofa-search {name}".encode())
    key: int | str = digest.hexdigest()[:32]
    if kind == "postgresql":
        key = int.from_bytes(digest.digest()[:8], signed=True)
    take, let_go = (sqlalchemy.text(statement) for statement in LOCK[kind])
    connection.execute(take, {"key": key})
    try:
        yield
    finally:
        connection.execute(let_go, {"key": key})


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """What goes wrong between here and the server, as one line without the statement that it befell."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = getattr(error, "orig", None) or error.__cause__ or error
        line = str(getattr(cause, "orig", None) or cause).strip().split("\n", 1)[0]
        raise InvalidInput(f"storage={address}: {line}; the same command goes on when that is mended") from None
