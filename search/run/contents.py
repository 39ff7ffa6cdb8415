"""The contents of a run: its searches and profiles, by name, and paths into its folder."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ofa.errors import InvalidInput, nearest
from ofa.paths import write_atomic
from search.run.paths import RunFolder, SearchFolder
from search.run.progress import say
from search.run.stages import STAMP, is_complete, read_stamp, stamp_path, stamped_config

README = """# What `ofa` wrote here

Each folder is a run: one supernet or network and all that was found with it. `ofa report run=NAME` makes its page.

| in a run | what it is |
|---|---|
| `report.html` | everything found so far, one page; `sweep.html`: searches over limits, devices and seeds |
| `live.html` | what is being done now, and how far it is |
| `supernet/` | the trained supernet: weights, configuration, history, `supernet.json` with its scores |
| `profiles/` | what each device measured, and its latency model |
| `search/NAME/` | a study: its journal, `trials.json`, `finalists.json`, and each trial's picture in `artifacts/` |
| `subnets/NAME/` | **the networks to use**: `model.onnx`, `model.safetensors`, `network.py`, `card.json` |
| `finetune/`, `prune/`, `compressed/`, `dense/` | networks trained on, pruned, compressed, or trained densely |
| `comparison.json` | each device's subnets, measured on every device |
| `studio/`, `logs/` | candidates kept in the studio; what loggers wrote |
| `cache/` | scores of subnets, so that none is evaluated twice; may be deleted |
| `stage.json` | in each folder: what it was made from, and by which command |

A folder may be moved or copied as a whole. Files are JSON, safetensors, ONNX and text; none of them runs code but
`network.py`. Delete a run's folder and it is gone; nothing else refers to it.
"""


def explain(outputs: Path) -> None:
    """Writes a README.md about the files of runs into the folder of all runs, unless there is one."""
    if outputs.is_dir() and not (outputs / "README.md").exists() and any(outputs.glob("*/*/stage.json")):
        write_atomic(outputs / "README.md", README.encode())


def begun_searches(run: RunFolder) -> list[str]:
    """Returns the names of all searches that have a study, in the order in which they were begun or ended last."""
    return [path.name for path in in_order_of_writing(_outputs(run.searches)) if _has_study(path)]


def in_order_of_writing(outputs: Iterable[Path]) -> list[Path]:
    """Returns outputs in the order in which their stages were begun or ended last, as the stamps say; else by name."""
    stamps = {output: read_stamp(output) for output in outputs}
    return sorted(stamps, key=lambda output: (stamp.date_utc if (stamp := stamps[output]) else "", output))


def complete_searches(run: RunFolder) -> list[str]:
    """Returns the names of the searches that chose subnets, sorted; also of one that is being extended."""
    return sorted(name for name in begun_searches(run) if SearchFolder(run.search(name)).finalists.exists())


def unfinished_searches(run: RunFolder) -> list[str]:
    """Returns the names of the searches that were begun or extended, and not ended, sorted."""
    return sorted(name for name in begun_searches(run) if not is_complete(run.search(name)))


def searches_to_use(run: RunFolder, *, device: str | None = None, study: str | None = None) -> list[str]:
    """Returns those complete searches that `pick` finds, after a line about each whose extension was cut off.

    Raises:
        InvalidInput: no search matches.
    """
    complete, unfinished = complete_searches(run), unfinished_searches(run)
    try:
        names = pick(complete, run, device=device, study=study)
    except InvalidInput as error:
        begun = sorted(set(unfinished) - set(complete))
        if not begun:
            raise
        raise InvalidInput(f"{error} ({', '.join(begun)} is not finished: the same ofa search goes on)") from None
    for name in (name for name in names if name in unfinished):
        files = run.search(name)
        say(f"{files} was not extended to the end: used is what it chose before; the same ofa search goes on")
    return names


def complete_profiles(run: RunFolder) -> list[str]:
    """Returns the names of the devices that were profiled."""
    stamps = {stamp_path(path) for path in run.profiles.glob("*.json")}
    return sorted(path.stem for path in run.profiles.glob("*.json") if path not in stamps and is_complete(path))


def commands_of(run: RunFolder) -> list[str]:
    """Returns the command lines that the complete stages of a run came from, each once, in the order of the stages.

    Those of one kind are in the order in which they ended. The lines name the folder of outputs where the run lies now.
    """
    where = "" if str(run.root.parent) == "outputs" else f" {shlex.quote(f'outputs={run.root.parent}')}"
    profiles = [run.profile(device) for device in complete_profiles(run)]
    complete = complete_searches(run)
    searches = [run.search(name) for name in begun_searches(run) if name in complete]  # one may begin with another's
    subnets = [path for path in run.subnets.glob("*.json") if not path.name.endswith((STAMP, ".new.json"))]
    folders = [run.supernet, *in_order_of_writing(profiles), *searches, *in_order_of_writing(subnets)]
    for made in (run.finetuned, run.dense, run.pruned, run.compressed):  # some prune by a profile
        folders += in_order_of_writing(_outputs(made))
    stamps = [read_stamp(path) for path in (*folders, run.comparison)]
    return list(dict.fromkeys(stamp.command + where for stamp in stamps if stamp and stamp.complete and stamp.command))


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


def _outputs(folder: Path) -> list[Path]:
    """The outputs in a folder, without those that are replaced or replace another."""
    return [path for path in folder.glob("*/") if not path.name.endswith((".new", ".old"))]


def _has_study(search: Path) -> bool:
    """Whether a search has begun: its study is in its folder, or in a database."""
    return SearchFolder(search).journal.is_file() or bool(stamped_config(search).get("storage"))


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
