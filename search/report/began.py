"""How the trainings of a run began and ended: where their weights came from, why they ended early; gathering it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ofa.checkpoint import checkpoint_meta
from ofa.records import convert, read_record
from ofa.start import StartRecord
from search.run.paths import NetworkFolder, PrunedFolder, RunFolder, SupernetFolder
from search.run.stages import is_complete
from search.run.training_cards import History


@dataclass(frozen=True)
class Began:
    """How the training of one network began and ended, by its folder in the run; empty where there is nothing to say.

    Attributes:
        start: where its weights came from.
        ended: why it ended early.
    """

    network: str
    start: str
    ended: str


def gather_began(run: RunFolder) -> tuple[Began, ...]:
    """Returns how the finished trainings of a run began and ended, of those with something to say.

    Raises:
        InvalidInput: a damaged file; names it.
    """
    rows = [
        Began(str(files.root.relative_to(run.root)), _start(files.start), _ended(files.history))
        for files in _trained(run)
    ]
    return tuple(row for row in rows if row.start or row.ended)


def _trained(run: RunFolder) -> Iterator[NetworkFolder]:
    yield SupernetFolder(run.supernet)
    for parent, kind in ((run.dense, NetworkFolder), (run.pruned, PrunedFolder)):
        for folder in sorted(parent.glob("*/")):
            if not folder.name.endswith((".new", ".old")) and is_complete(folder):
                yield kind(folder)


def _start(path: Path) -> str:
    if not os.path.lexists(path):
        return ""
    record: StartRecord = convert(checkpoint_meta(path).get("start"), StartRecord, f"{path} is damaged")
    return str(record)


def _ended(path: Path) -> str:
    if not os.path.lexists(path):
        return ""
    rows = read_record(path, History).rows
    return rows[-1].ended if rows else ""
