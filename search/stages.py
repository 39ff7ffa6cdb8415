"""Stages: an output says from what it was made, is skipped when it exists and goes on when it was cut off.

Beside its files every stage keeps a stamp: the configuration and the inputs (digests) it came from. The same
command again skips what is complete and continues what is not; another configuration is refused by name.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ofa.errors import InvalidInput
from ofa.paths import read_json, write_json

STAMP = "stage.json"


@dataclass(frozen=True)
class Stage:
    """One stage: its output folder (or file), and what decides its contents.

    `amount` is how much was asked of a stage that can go on, such as trials: more continues, less is done.
    """

    name: str
    output: Path
    config: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    amount: int = 0
    beside: str = "run=NAME for another run"  # what makes an output of its own, for the message of a mismatch

    @property
    def config_hash(self) -> str:
        """16 hex digits of the configuration."""
        return hash_of(self.config)


def hash_of(config: Mapping[str, Any]) -> str:
    """Returns 16 hex digits of a configuration of plain values."""
    return hashlib.sha256(json.dumps(dict(config), sort_keys=True).encode()).hexdigest()[:16]


def is_needed(stage: Stage, *, force: bool = False) -> bool:
    """Returns whether a stage has to run: False where its complete output is there and `force` is off.

    Raises:
        InvalidInput: the output was made (or begun) with another configuration or from other inputs.
    """
    stamp = _read_stamp(stage.output)
    if stamp is None or force:
        return True
    if differences := _differences(stage, stamp):
        made = "made" if stamp["complete"] else "begun"
        raise InvalidInput(
            f"{stage.output} was {made} {differences}: use {stage.beside} beside it, or force=true to redo this one"
        )
    return not (stamp["complete"] and stamp["amount"] >= stage.amount)


def is_outdated(stage: Stage) -> bool:
    """Returns whether the output that is there was made (or begun) with another configuration or from other inputs."""
    stamp = _read_stamp(stage.output)
    return stamp is not None and bool(_differences(stage, stamp))


@contextmanager
def written(stage: Stage, *, force: bool = False) -> Iterator[Path]:
    """Gives the path to write a stage's output to, and marks it complete when the block ends well.

    With `force` that is a new path, which takes the old one's place when complete; cut off, it goes on.
    An output that an error left empty is removed.
    """
    target = _beside(stage.output, "new") if force else stage.output
    stamp = _read_stamp(target) if force else None
    if stamp is not None and (stamp["complete"] or _differences(stage, stamp)):
        remove_output(target)
    _check_finite(stage)
    new_folders = [path for path in target.parents if not path.exists()]
    write_json(stamp_path(target), _stamp(stage, complete=False))
    try:
        yield target
    except Exception:
        if not _holds_anything(target):
            remove_output(target)
            for folder in new_folders:
                if not any(folder.iterdir()):
                    folder.rmdir()
        raise
    write_json(stamp_path(target), _stamp(stage, complete=True))
    if force:
        _replace(stage.output, target)


def is_complete(output: Path) -> bool:
    """Whether a stage finished writing `output`."""
    stamp = _read_stamp(output)
    return stamp is not None and bool(stamp["complete"])


def stamped_config(output: Path) -> dict[str, Any]:
    """Returns the configuration that an output was made (or begun) with; empty where there is none."""
    stamp = _read_stamp(output)
    return dict(stamp["config"]) if stamp else {}


def stamp_path(output: Path) -> Path:
    """Returns where the stamp of an output folder, or of an output file, lies."""
    return output.with_suffix(f".{STAMP}") if output.suffix == ".json" else output / STAMP


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Returns nested dictionaries as one, keys joined with dots."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _stamp(stage: Stage, *, complete: bool) -> dict[str, Any]:
    return {
        "stage": stage.name,
        "complete": complete,
        "amount": stage.amount,
        "config_hash": stage.config_hash,
        "inputs": dict(stage.inputs),
        "config": dict(stage.config),
    }


def _read_stamp(output: Path) -> dict[str, Any] | None:
    path = stamp_path(output)
    if not path.exists():
        return None
    stamp = read_json(path)
    if not isinstance(stamp, dict) or not {"complete", "amount", "config", "inputs"} <= stamp.keys():
        raise InvalidInput(f"{path} is damaged (not a stage's stamp); redo the stage with force=true")
    return stamp


def _differences(stage: Stage, stamp: Mapping[str, Any]) -> str:
    """What differs from the stamp, in words; empty where nothing does."""
    wanted = json.loads(json.dumps(dict(stage.config)))
    for name, digest in stage.inputs.items():
        if stamp["inputs"].get(name) != digest:
            return f"from another {name} ({stamp['inputs'].get(name)} there, {digest} now)"
    there, now = flatten(stamp["config"]), flatten(wanted)
    changed = sorted(key for key in there.keys() | now.keys() if there.get(key) != now.get(key))
    if not changed:
        return ""
    shown = [f"{key}={_short(there.get(key))} there, {_short(now.get(key))} now" for key in changed[:4]]
    more = f"; and {len(changed) - 4} more" if len(changed) > 4 else ""
    return f"with another configuration ({'; '.join(shown)}{more})"


def _short(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _beside(path: Path, word: str) -> Path:
    return path.with_name(f"{path.stem}.{word}{path.suffix}")


def _replace(output: Path, new: Path) -> None:
    """Puts `new` in the place of `output`: the old one is moved aside first and removed last."""
    if output.suffix == ".json":
        new.replace(output)
        stamp_path(new).replace(stamp_path(output))
        return
    old = _beside(output, "old")
    remove_output(old)
    if output.exists():
        output.replace(old)
    new.replace(output)
    remove_output(old)


def remove_output(path: Path) -> None:
    """Removes a stage's output, folder or file, and its stamp."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
        stamp_path(path).unlink(missing_ok=True)


def _holds_anything(output: Path) -> bool:
    if output.suffix == ".json":
        return output.exists()
    return any(path.name != STAMP for path in output.iterdir())


def _check_finite(stage: Stage) -> None:
    """JSON has no NaN and no infinity, and a configuration needs neither."""
    for key, value in flatten(stage.config).items():
        numbers = value if isinstance(value, list) else [value]
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            raise InvalidInput(f"{key}={value} must be finite (text that reads like a number goes in quotes)")
