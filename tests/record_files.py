"""Records changed on purpose, as one who knows the format would change them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ofa.records import checksum_of


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Changes the content of a file in place and gives it the checksum that fits."""
    value = json.loads(path.read_text())
    change(value)
    del value["checksum"]
    path.write_text(json.dumps({**value, "checksum": checksum_of(value)}))


def content_of(path: Path) -> dict[str, Any]:
    """Returns what a record holds without its head."""
    return {key: item for key, item in json.loads(path.read_text()).items() if key not in HEAD}


HEAD = ("kind", "version", "checksum")
