"""Place: where a study is kept, and what the workers of one study share there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial

from ofa.errors import InvalidInput
from search.database import open_database
from search.storage import open_shared_journal
from search.worker_locks import CAN_LOCK


@dataclass(frozen=True)
class Place:
    """Where a study is kept: in the file `journal`, or in the database at `address`; locks lie beside the journal.

    A worker of a database says every `heartbeat_seconds` that it lives; one that has not for six times as long, and
    whose lock is not on this machine, is taken for dead.
    """

    journal: Path
    address: str | None = None
    heartbeat_seconds: int = 10

    def __str__(self) -> str:
        return self.address or str(self.journal)


class Shared(Protocol):
    """An open storage, and what keeps the workers of a study apart."""

    @property
    def storage(self) -> BaseStorage:
        """Optuna's storage."""

    def alone(self) -> AbstractContextManager[None]:
        """Refuses a second call that would run the same study in the same place, where one is too many."""

    def claiming(self) -> AbstractContextManager[None]:
        """Holds the study for the next proposal: one worker at a time, over all machines that share it."""

    def working(self, study: Study, trial_id: int) -> AbstractContextManager[None]:
        """Shows for as long as a trial runs that its worker lives."""

    def is_dead(self, study: Study, trial: FrozenTrial, worker: str) -> bool:
        """Whether the worker of a running trial is gone."""


@contextmanager
def opened(place: Place, study: str) -> Iterator[Shared]:
    """Gives the storage of one study.

    Raises:
        InvalidInput: the journal is damaged, or the database cannot be reached or fails on the way.
    """
    if place.address is None:
        yield open_shared_journal(place.journal, study)
        return
    with open_database(place.address, place.journal, study, place.heartbeat_seconds) as shared:
        yield shared


def check_workers(workers: int, place: Place) -> None:
    """Refuses several workers where nothing could keep them apart.

    Raises:
        InvalidInput: a journal on a system whose locks do not end with their owner.
    """
    if workers > 1 and place.address is None and not CAN_LOCK:
        raise InvalidInput(
            f"workers={workers}: on this system no lock ends with its owner, so a journal has one worker; "
            "use workers=1, or storage=postgresql://..."
        )
