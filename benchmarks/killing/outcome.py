"""What a run comes to, without what two equal runs differ in: times of this machine, names of temporary files."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load_file

from ofa.paths import TEMPORARY
from search.candidates.trials import candidate_of
from search.study.journal import open_journal

# Times of this machine, digests of files that hold some, and numbers of trials.
LEFT_OUT = {"seconds", "date_utc", "checksum", "files", "inputs", "trial", "number", "cached", "reason", "command"}
PRESENT = {".html", ".onnx", ".py", ".svg", ".npz", ".csv", ".md"}  # whose content follows from that of others
IGNORED = {".lock", ".log", ".head", ".jsonl", ".driver"}
Outcome = dict[str, Any]


def outcome_of(folder: Path) -> Outcome:
    """Returns the content of every file of a run by its path."""
    found: Outcome = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or TEMPORARY.fullmatch(path.name) or path.suffix in IGNORED or "/artifacts/" in name:
            continue
        found[name] = "present" if path.suffix in PRESENT else _content(path)
    return found


def finished_trials(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Returns what every finished trial of a run came to, by the study and its number."""
    found = {}
    for path in sorted(folder.glob("*/search/*/journal.log")):
        storage = open_journal(path)
        for study in storage.get_all_studies():
            for trial in storage.get_all_trials(study._study_id, deepcopy=False):
                if trial.state.is_finished():
                    key = f"{path.parent.name}/{study.study_name}/{trial.number}"
                    found[key] = (candidate_of(trial), trial.state, trial.values, trial.datetime_complete)
    return found


def finished_stages(folder: Path) -> dict[str, int]:
    """Returns when the stamp of every complete stage was written, by its path."""
    stamps = {path: path.read_text(encoding="utf-8") for path in folder.rglob("*stage.json")}
    complete = [path for path, text in stamps.items() if json.loads(text)["complete"]]
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in complete}


def known_twice(folder: Path) -> int:
    """Returns how many evaluations were made again although their result was kept."""
    digests: Counter[str] = Counter()
    for path in folder.glob("*/cache/*.jsonl"):
        for line in path.read_bytes().splitlines():
            try:
                digests[f"{path.name} {json.loads(line)['digest']}"] += 1
            except ValueError:  # a line that a kill left unfinished
                continue
    return sum(count - 1 for count in digests.values())


def _content(path: Path) -> Any:
    if path.suffix == ".safetensors":
        try:
            tensors = load_file(path)
        except SafetensorError:
            return "damaged"
        digest = hashlib.sha256()
        for name, tensor in sorted(tensors.items()):
            digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode())
            digest.update(tensor.tobytes())
        return digest.hexdigest()[:16]
    text = path.read_text(encoding="utf-8")
    return _plain(json.loads(text)) if path.suffix == ".json" else text


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items() if key not in LEFT_OUT}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value
