"""The contents of a run: its searches and profiles, by name."""

from __future__ import annotations

from pathlib import Path

from ofa.errors import InvalidInput, nearest
from search.run.paths import RunFolder, SearchFolder
from search.run.stages import STAMP, is_complete, read_stamp, stamp_path, stamped_config


def begun_searches(run: RunFolder) -> list[str]:
    """Returns the names of all searches that have a study, ordered by when they were last written to."""
    folders = [path for path in run.searches.glob("*/") if not path.name.endswith((".new", ".old"))]
    written = {path.name: _time_written(path) for path in folders}
    return sorted((name for name, time in written.items() if time is not None), key=lambda name: written[name] or 0.0)


def complete_searches(run: RunFolder) -> list[str]:
    """Returns the names of the complete searches, sorted."""
    return sorted(
        name
        for name in begun_searches(run)
        if is_complete(run.search(name)) and SearchFolder(run.search(name)).finalists.exists()
    )


def complete_profiles(run: RunFolder) -> list[str]:
    """Returns the names of the devices that were profiled."""
    stamps = {stamp_path(path) for path in run.profiles.glob("*.json")}
    return sorted(path.stem for path in run.profiles.glob("*.json") if path not in stamps and is_complete(path))


def commands_of(run: RunFolder) -> list[str]:
    """Returns the command lines that the complete stages of a run came from, each once, in the order of the stages."""
    folders = [run.supernet, *run.dense.glob("*/")]
    folders += [run.profile(device) for device in complete_profiles(run)]
    folders += [run.search(name) for name in complete_searches(run)]
    folders += [path for path in run.subnets.glob("*.json") if not path.name.endswith(STAMP)]
    folders += [*run.pruned.glob("*/"), *run.compressed.glob("*/"), run.comparison]
    stamps = [read_stamp(path) for path in folders if not path.name.endswith((".new", ".old"))]
    return list(dict.fromkeys(stamp.command for stamp in stamps if stamp and stamp.complete and stamp.command))


def pick(names: list[str], run: RunFolder, *, device: str | None = None, study: str | None = None) -> list[str]:
    """Returns those of `names` that are for `device`, or the one named `study`; all where neither is given.

    Raises:
        InvalidInput: no search matches.
    """
    if not names:
        raise InvalidInput(f"{run.searches} holds no search to use: run ofa search run={run.name} first")
    if study is not None:
        matching = [name for name in names if name == study]
    else:
        matching = [name for name in names if device is None or _is_of(name, device)]
    if not matching:
        choice = f"study={study}" if study is not None else f"device={device}"
        raise InvalidInput(f"{choice}: {run.searches} has no such search; {nearest(str(study or device), names)}")
    return matching


def _is_of(name: str, device: str) -> bool:
    """Whether a search of that name is for a device, alone or as one of several ("laptop-1ms+phone-4ms")."""
    return any(part == device or part.startswith(f"{device}-") for part in name.split("+"))


def _time_written(search: Path) -> float | None:
    """When a search's study was last written to, or when it began if a database holds it; None without a study."""
    journal = SearchFolder(search).journal
    if journal.is_file():
        return journal.stat().st_mtime
    return stamp_path(search).stat().st_mtime if stamped_config(search).get("storage") else None
