"""Where a study is stored (Place), opening it, and its database: address, lock and heartbeats."""

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
from typing import Any, Protocol

import sqlalchemy
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import SQLAlchemyError

from ofa.errors import InvalidInput
from search.candidates.optuna_internals import CachedStorage, cached, stale_trial_ids, trial_id
from search.config.search import DRIVERS, PASSWORD, USER, check_address
from search.run.file_lock import can_lock
from search.run.locks import is_dead
from search.study.journal import open_shared_journal

MISSED_HEARTBEATS = 6  # until a worker counts as dead
LOCK = {
    "postgresql": ("SELECT pg_advisory_lock(:key)", "SELECT pg_advisory_unlock(:key)"),
    "mysql": (
        "SELECT GET_LOCK(:key, 31536000)",
        "SELECT RELEASE_LOCK(:key)",
    ),  # a year: MariaDB does not wait if this is negative
}
NOTICE_LOST_MACHINES = (  # else the lock of a machine that lost power is held for hours
    "SET tcp_keepalives_idle = 30",
    "SET tcp_keepalives_interval = 10",
    "SET tcp_keepalives_count = 3",
)


def with_credentials(address: str, environment: Mapping[str, str]) -> URL:
    """Returns the address with its driver, and with user and password from the environment if set.

    PostgreSQL's own variables (PGUSER, PGPASSWORD, PGPASSFILE and so on) apply where those are not set.
    """
    url = make_url(check_address(address))
    user, password = environment.get(USER), environment.get(PASSWORD)
    url = url.set(drivername=f"{url.drivername}+{DRIVERS[url.drivername]}")
    return url.set(username=user or url.username, password=password or None)


@dataclass(frozen=True)
class SharedDatabase:
    """A database shared by the workers of one study; the locks of this machine's workers lie beside `journal`."""

    journal: Path
    study: str
    storage: CachedStorage
    connection: Connection  # the owner of the lock: the server releases it when the connection ends
    heartbeat_seconds: int

    def alone(self) -> AbstractContextManager[None]:
        """Does nothing: several machines may run the same study in a database."""
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
        """Whether the lock of a worker of this machine is free, or the heartbeat of a worker elsewhere has stopped."""
        dead = is_dead(self.journal, self.study, worker)
        if dead is None:
            return trial_id(trial) in stale_trial_ids(self.storage, study)
        return dead


@contextmanager
def open_database(address: str, journal: Path, study: str, heartbeat_seconds: int) -> Iterator[SharedDatabase]:
    """Yields one study of the database at `address`, whose tables are created if missing.

    Raises:
        InvalidInput: no driver is installed, the database cannot be reached, or fails during the search.
    """
    with _explained(address):
        engine = _engine(address)
        try:
            with engine.connect() as connection:
                if engine.dialect.name == "postgresql":
                    for statement in NOTICE_LOST_MACHINES:
                        connection.execute(sqlalchemy.text(statement))
                with _locked(connection, "tables"):  # two workers that create them at once would conflict
                    storage = _storage(address, heartbeat_seconds)
                yield SharedDatabase(journal, study, storage, connection, heartbeat_seconds)
        finally:
            engine.dispose()


def database_storage(address: str) -> CachedStorage:
    """Returns the storage of all studies at `address`, for reading.

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


def _storage(address: str, heartbeat_seconds: int | None) -> CachedStorage:
    options: dict[str, Any] = {
        "engine_kwargs": {"isolation_level": "READ COMMITTED"}
    }  # MySQL would read old rows by default
    if heartbeat_seconds is not None:
        options |= {"heartbeat_interval": heartbeat_seconds, "grace_period": MISSED_HEARTBEATS * heartbeat_seconds}
    url = with_credentials(address, os.environ).render_as_string(hide_password=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return cached(RDBStorage(url, **options))


@contextmanager
def _locked(connection: Connection, name: str) -> Iterator[None]:
    """Holds a lock of the database server, released with the connection at the latest."""
    kind = connection.dialect.name
    digest = hashlib.sha256(f"ofa-search {name}".encode())
    key: int | str = digest.hexdigest()[:32]
    if kind == "postgresql":
        key = int.from_bytes(digest.digest()[:8], signed=True)
    take, release = (sqlalchemy.text(statement) for statement in LOCK[kind])
    connection.execute(take, {"key": key})
    try:
        yield
    finally:
        connection.execute(release, {"key": key})


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """Turns errors of the database into one line without the SQL statement."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = getattr(error, "orig", None) or error.__cause__ or error
        line = str(getattr(cause, "orig", None) or cause).strip().split("\n", 1)[0]
        raise InvalidInput(f"storage={address}: {line}; fix this and run the same command to resume") from None


@dataclass(frozen=True)
class Place:
    """Where a study is stored: in the file `journal`, or in the database at `address`; locks lie beside the journal.

    A worker of a database sends a heartbeat every `heartbeat_seconds`; one that misses `MISSED_HEARTBEATS`, and whose
    lock is not on this machine, counts as dead.
    """

    journal: Path
    address: str | None = None
    heartbeat_seconds: int = 10

    def __str__(self) -> str:
        return self.address or str(self.journal)


class Shared(Protocol):
    """An open storage with the locks that its workers share."""

    @property
    def storage(self) -> BaseStorage:
        """Optuna's storage."""

    def alone(self) -> AbstractContextManager[None]:
        """Refuses a second call that would run the same study, where only one may."""

    def claiming(self) -> AbstractContextManager[None]:
        """Holds the study for the next proposal: one worker at a time, over all machines that share it."""

    def working(self, study: Study, trial_id: int) -> AbstractContextManager[None]:
        """Shows that the worker of a trial is alive while the trial runs."""

    def is_dead(self, study: Study, trial: FrozenTrial, worker: str) -> bool:
        """Whether the worker of a running trial is gone."""


@contextmanager
def opened(storage: Place, study: str) -> Iterator[Shared]:
    """Yields the storage of one study.

    Raises:
        InvalidInput: the journal is damaged, or the database cannot be reached or fails during the search.
    """
    if storage.address is None:
        yield open_shared_journal(storage.journal, study)
        return
    with open_database(storage.address, storage.journal, study, storage.heartbeat_seconds) as shared:
        yield shared


def check_workers(workers: int, storage: Place) -> None:
    """Refuses several workers where no lock can coordinate them.

    Raises:
        InvalidInput: a journal on a system whose locks do not end with their owner.
    """
    if workers > 1 and storage.address is None and not can_lock():
        raise InvalidInput(
            f"workers={workers}: on this system locks outlive their owners, so a journal has one worker; "
            "use workers=1, or storage=postgresql://..."
        )
