"""What a run holds: its searches and profiles, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ofa.errors import InvalidInput, nearest
from ofa.paths import read_json
from search.paths import RunFolder, SearchFolder
from search.stages import is_complete, stamp_path, stamped_config


def begun_searches(run: RunFolder) -> list[str]:
    """Returns the names of all searches that have a study, the one written to last at the end."""
    folders = [path for path in run.searches.glob("*/") if not path.name.endswith((".new", ".old"))]
    written = {path.name: _written(path) for path in folders}
    return sorted((name for name, time in written.items() if time is not None), key=lambda name: written[name] or 0.0)


def complete_searches(run: RunFolder) -> list[str]:
    """Returns the names of the searches that are done, in order of their names."""
    return sorted(
        name
        for name in begun_searches(run)
        if is_complete(run.search(name)) and SearchFolder(run.search(name)).finalists.is_file()
    )


def found_by_searches(run: RunFolder) -> dict[str, dict[str, Any]]:
    """Returns what the complete searches chose: the contents of finalists.json by name of the search."""
    return {name: read_json(SearchFolder(run.search(name)).finalists) for name in complete_searches(run)}


def complete_profiles(run: RunFolder) -> list[str]:
    """Returns the names of the devices that were profiled."""
    stamps = {stamp_path(path) for path in run.profiles.glob("*.json")}
    return sorted(path.stem for path in run.profiles.glob("*.json") if path not in stamps and is_complete(path))


def pick(names: list[str], run: RunFolder, *, device: str | None = None, study: str | None = None) -> list[str]:
    """Returns those of `names` that are of one device, or the one search of that name; else all.

    Raises:
        InvalidInput: there is none.
    """
    if not names:
        raise InvalidInput(f"{run.searches} holds no search to use: run ofa search run={run.name} first")
    if study is not None:
        kept = [name for name in names if name == study]
    else:
        kept = [name for name in names if device is None or _is_of(name, device)]
    if not kept:
        wanted = f"study={study}" if study is not None else f"device={device}"
        raise InvalidInput(f"{wanted}: {run.searches} has no such search; {nearest(str(study or device), names)}")
    return kept


def _is_of(name: str, device: str) -> bool:
    """Whether a search of that name is of a device: alone, or as one of several ("laptop-1ms+phone-4ms")."""
    return any(part == device or part.startswith(f"{device}-") for part in name.split("+"))


def _written(search: Path) -> float | None:
    """When a search's study was written to last; when it began, where a database has the study; None without any."""
    journal = SearchFolder(search).journal
    if journal.is_file():
        return journal.stat().st_mtime
    return stamp_path(search).stat().st_mtime if stamped_config(search).get("storage") else None
