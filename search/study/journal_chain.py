"""Seals of a journal's lines: no line can be edited, deleted, doubled or moved unnoticed.

Each line ends with a key `chain`, a digest of the line and of the seal before it. Optuna, its dashboard and its command
line still read such lines: they ignore keys that they do not know.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, BinaryIO

from ofa.errors import InvalidInput
from ofa.records import Object

START = ""  # the seal before the first line
LONGEST_LINE = 16 * 2**20  # bytes; a trial with a history of thousands of epochs needs 1 MiB
_SEAL = re.compile(rb',"chain":"([0-9a-f]{16})"\}\n\Z')
_SEAL_BYTES = len(',"chain":"0123456789abcdef"}\n')
_HEAD = re.compile(rb"(\d{20}) ([0-9a-f]{16})\n")


class BrokenSeal(ValueError):
    """A line of a journal was damaged or edited; the message says how."""


def sealed_line(record: Object, before: str) -> tuple[bytes, str]:
    """Returns a record as a line, and its seal; `before` is the seal of the line before."""
    body = json.dumps(record, separators=(",", ":")).encode()[:-1]
    seal = _seal_of(body, before)
    return body + f',"chain":"{seal}"}}\n'.encode(), seal


def read_line(line: bytes, before: str) -> tuple[dict[str, Any], str]:
    """Returns the record of a line, and its seal.

    Raises:
        BrokenSeal: the line is damaged, has no seal, or does not follow the line before.
    """
    match = _SEAL.search(line, max(0, len(line) - _SEAL_BYTES))
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise BrokenSeal("it is not JSON, or nested too deep") from None
    if match is None or not isinstance(record, dict):
        raise BrokenSeal("it has no checksum: another program or an older version wrote it")
    seal = match[1].decode()
    if seal != _seal_of(line[: match.start()], before):
        raise BrokenSeal("its checksum does not fit: it was edited, or lines before it were deleted, moved or doubled")
    del record["chain"]
    return record, seal


def seal_at(file: BinaryIO, end: int) -> str:
    """Returns the seal of the line that ends at byte `end` of a journal.

    Raises:
        BrokenSeal: there is none.
    """
    if end == 0:
        return START
    file.seek(max(0, end - _SEAL_BYTES))
    match = _SEAL.search(file.read(min(end, _SEAL_BYTES)))
    if match is None:
        raise BrokenSeal("its last line has no checksum: another program or an older version wrote it")
    return match[1].decode()


def head_path(journal: Path) -> Path:
    """Returns the path of a journal's head: how far it reached when its last flushed line was on disk.

    It sorts before the journal, so that a folder copied during a search has no head newer than its journal.
    """
    return journal.with_suffix(".head")


def write_head(journal: Path, end: int, seal: str) -> None:
    """Writes how far the journal reaches, in one write that a kill cannot tear."""
    descriptor = os.open(head_path(journal), os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"{end:020d} {seal}\n".encode())
    finally:
        os.close(descriptor)


def check_head(journal: Path) -> None:
    """Checks that no finished line is missing at a journal's end.

    Raises:
        InvalidInput: lines are missing, or the head is damaged.
    """
    path = head_path(journal)
    if not path.exists():
        return
    if not journal.exists():  # deleted, to start again
        path.unlink()
        return
    if not path.is_file():  # opening a pipe would block
        raise InvalidInput(f"{path} is not a file; remove it to resume from what {journal.name} holds")
    with open(path, "rb") as file:
        content = file.read(64)
    if not content.strip(b"\0"):  # a power cut before it was on disk
        return
    match = _HEAD.fullmatch(content)
    if match is None:
        raise InvalidInput(f"{path} is damaged; restore it, or delete it to resume from what {journal.name} holds")
    end, size = int(match[1]), journal.stat().st_size
    with open(journal, "rb") as file:
        if size < end or _seal_or_none(file, end) != match[2].decode():
            if broken := _first_broken(file):
                raise InvalidInput(damaged(journal, broken))
            lost = f"{end - size} bytes at its end are" if size < end else "a part of it is"
            raise InvalidInput(
                f"{journal} was cut or edited ({lost} missing): restore it, or delete {path.name} beside it to resume "
                f"from what is left"
            )


def damaged(journal: Path | str, how: str) -> str:
    """Returns the message that says how a journal is damaged, and the remedy."""
    return f"{journal} is damaged {how}; restore it, or delete it to start the study again"


def _first_broken(file: BinaryIO) -> str:
    """The number of the first damaged line, and the reason; empty if there is none."""
    file.seek(0)
    number, seal = 1, START
    while (line := file.readline(LONGEST_LINE)).endswith(b"\n"):
        try:
            _, seal = read_line(line, seal)
        except BrokenSeal as error:
            return f"at line {number}: {error}"
        number += 1
    return ""


def _seal_or_none(file: BinaryIO, end: int) -> str | None:
    try:
        return seal_at(file, end)
    except BrokenSeal:
        return None


def _seal_of(body: bytes, before: str) -> str:
    return hashlib.blake2b(before.encode() + body, digest_size=8).hexdigest()
