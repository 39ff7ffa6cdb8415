"""Files written whole or not at all, and JSON read with an error that names the file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ofa.errors import InvalidInput


def write_atomic(path: Path, data: bytes) -> None:
    """Writes `data` to `path` so that a reader, or a kill at any moment, sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, atomically."""
    write_atomic(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Returns what the JSON file holds.

    Raises:
        InvalidInput: the file is missing, or is not JSON (the line and column are named).
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidInput(f"{path} does not exist") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is damaged ({error}); delete it or restore it") from None
