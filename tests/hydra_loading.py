"""Hydra in tests: a configuration file is read once a process, and each command is composed once."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from hydra._internal.config_repository import ConfigRepository
from hydra._internal.hydra import Hydra
from hydra.core.object_type import ObjectType


def load_files_once() -> None:
    """Lets Hydra keep what it read of a file until the file changes; what it returns is each call's own."""
    known: dict[tuple[Any, ...], Any] = {}
    load = ConfigRepository.load_config

    def load_config(repository: ConfigRepository, config_path: str) -> Any:
        source = repository._find_object_source(config_path, ObjectType.CONFIG)
        if source is None:
            return load(repository, config_path)
        file = Path(source.path) / source._normalize_file_name(config_path)
        status = file.stat() if source.scheme() == "file" else None
        written = None if status is None else (status.st_mtime_ns, status.st_size)
        key = (source.scheme(), source.provider, source.path, config_path, written)
        if key not in known:
            known[key] = load(repository, config_path)
        found = copy.copy(known[key])
        found.config = copy.deepcopy(found.config)  # which becomes a part of what is composed; Hydra copies the rest
        return found

    ConfigRepository.load_config = load_config  # type: ignore[method-assign]
    # It composes every configuration twice, the first time to see whether a file sets hydra.mode; none does.
    Hydra.get_mode = lambda *_, **__: None  # type: ignore[method-assign]
