"""Paths in stored configurations, relative to the folder of their run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.run.paths import RunFolder


def relative_paths(value: Any, run: RunFolder) -> Any:
    """Returns plain values with paths into a run's folder made relative to it, so that the folder can be moved."""
    if isinstance(value, Mapping):
        return {key: relative_paths(item, run) for key, item in value.items()}
    if isinstance(value, list):
        return [relative_paths(item, run) for item in value]
    if not isinstance(value, str) or "/" not in value:
        return value
    path, root = (Path(os.path.abspath(name)) for name in (value, run.root))
    return path.relative_to(root).as_posix() if root in path.parents else value
