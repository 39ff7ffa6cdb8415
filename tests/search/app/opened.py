"""The files that a call opens, by what the interpreter itself says: what else is in a folder cannot matter to it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

_LISTENING: list[set[Path]] = []


@cache
def _listen() -> None:
    """Hooks into the interpreter, for as long as it lives."""

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and _LISTENING and isinstance(arguments[0], str | os.PathLike):
            for found in _LISTENING:
                found.add(Path(arguments[0]).absolute())

    sys.addaudithook(heard)


@contextmanager
def opened_files() -> Iterator[set[Path]]:
    """Yields a set that fills with the absolute path of every file that this process opens in Python."""
    _listen()
    found: set[Path] = set()
    _LISTENING.append(found)
    try:
        yield found
    finally:
        _LISTENING.remove(found)
