"""Where a study is stored (Place), opened by the one process that drives it; addresses of databases."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import SQLAlchemyError

from ofa.errors import InvalidInput
from search.candidates.optuna_internals import CachedStorage, cached
from search.config.rules import DRIVERS, PASSWORD, USER, check_address
from search.study.journal import only_driver, open_journal

# A lock of the server ends with the connection of its owner. Per kind: try to take it, release it, and who holds it.
LOCK = {
    "postgresql": (
        "SELECT pg_try_advisory_lock(:key)",
        "SELECT pg_advisory_unlock(:key)",
        "SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE locktype = 'advisory' "
        "AND granted AND objsubid = 1 AND ((classid::bigint << 32) | objid::bigint) = :key",
    ),
    "mysql": (
        "SELECT GET_LOCK(:key, 0)",
        "SELECT RELEASE_LOCK(:key)",
        "SELECT host FROM information_schema.processlist WHERE id = IS_USED_LOCK(:key)",
    ),
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


@contextmanager
def open_database(address: str, study: str) -> Iterator[RDBStorage]:
    """Yields the database at `address`, whose tables are created if missing, for the driver of one study.

    Raises:
        InvalidInput: no driver is installed, the database cannot be reached, or fails during the search; or another
            process drives the study.
    """
    with _explained(address):
        engine = _engine(address)
        try:
            with engine.connect() as connection:
                if engine.dialect.name == "postgresql":
                    name = f"process {os.getpid()} on {platform.node()}"[:63]
                    connection.execute(
                        sqlalchemy.text("SELECT set_config('application_name', :name, false)"), {"name": name}
                    )
                    for statement in NOTICE_LOST_MACHINES:
                        connection.execute(sqlalchemy.text(statement))
                with _driving(connection, study, address):
                    storage = _storage(address)
                    check = partial(_check_still_driving, connection)
                    sqlalchemy.event.listen(storage.scoped_session.session_factory, "before_commit", check)
                    yield storage
        finally:
            engine.dispose()


def database_storage(address: str) -> CachedStorage:
    """Returns the storage of all studies at `address`, for reading.

    Raises:
        InvalidInput: as `open_database`.
    """
    with _explained(address):
        return cached(_storage(address))


def _engine(address: str) -> sqlalchemy.Engine:
    url = with_credentials(address, os.environ)
    kind = url.get_backend_name()
    if importlib.util.find_spec(DRIVERS[kind]) is None:
        raise InvalidInput(f"storage={address} needs {DRIVERS[kind]}: pip install 'ofa-search[{kind}]'")
    return sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")


def _storage(address: str) -> RDBStorage:
    options: dict[str, Any] = {"isolation_level": "READ COMMITTED"}  # MySQL would read old rows by default
    url = with_credentials(address, os.environ).render_as_string(hide_password=False)
    return RDBStorage(url, engine_kwargs=options)


@contextmanager
def _driving(connection: Connection, study: str, address: str) -> Iterator[None]:
    """Holds one study of the database for this process: two drivers would both continue it.

    Raises:
        InvalidInput: another process holds it.
    """
    kind = connection.dialect.name
    digest = hashlib.sha256(f"ofa-search {study}".encode())
    key: int | str = digest.hexdigest()[:32]
    if kind == "postgresql":
        key = int.from_bytes(digest.digest()[:8], signed=True)
    take, release, holder = (sqlalchemy.text(statement) for statement in LOCK[kind])
    if not connection.execute(take, {"key": key}).scalar():
        who = connection.execute(holder, {"key": key}).scalar() or "another process"
        raise InvalidInput(
            f"study {study!r} in {address} is being searched by {who}: one process drives a study; wait for it, give "
            "that one more evaluators (workers=...), or use another name"
        )
    try:
        yield
    finally:
        with suppress(SQLAlchemyError):  # a connection that is lost has released it
            connection.execute(release, {"key": key})


def _check_still_driving(connection: Connection, _: object) -> None:
    """Refuses to commit where the connection that holds the lock is lost: another process may drive by now.

    A lock lasts as long as its connection, and a connection that answers is not lost. One that is lost does not come
    back: SQLAlchemy would connect anew, without the lock.
    """
    if connection.invalidated:
        raise StorageInternalError("the connection that held the lock of this study was lost")
    connection.execute(sqlalchemy.text("SELECT 1"))


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
    """Where a study is stored: in the file `journal`, or in the database at `address`."""

    journal: Path
    address: str | None = None

    def __str__(self) -> str:
        return self.address or str(self.journal)


@contextmanager
def opened(location: Place, study: str) -> Iterator[BaseStorage]:
    """Yields the storage of one study to the one process that drives it.

    Raises:
        InvalidInput: another process drives it; the journal is damaged, or the database cannot be reached or fails
            during the search.
    """
    if location.address is None:
        with only_driver(location.journal, study):
            yield open_journal(location.journal)
        return
    with open_database(location.address, study) as storage:
        yield storage
