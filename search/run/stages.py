"""Stages: an output records what it was made from, is skipped when complete and resumes when interrupted.

Every stage keeps a stamp beside its files: the configuration and the inputs (digests) it was made from. The same
command again skips complete stages and resumes the others; another configuration is an error that names what differs.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from ofa.errors import InvalidInput
from ofa.paths import remove_leftovers_below
from ofa.records import Count, Hex, Object, Record, Text, read_record, write_record
from search.run.paths import START
from search.run.progress import command_line
from search.run.stored_inputs import DATA, check_finite, config_differences

STAMP = "stage.json"


@dataclass(frozen=True)
class Stage:
    """One stage: its output folder (or file), and what decides its contents.

    `amount` is how much a resumable stage should do, such as trials: asking for more resumes it, for less skips it.
    """

    name: str
    output: Path
    config: Object
    inputs: Mapping[str, str] = field(default_factory=dict)
    amount: int = 0
    beside: str = "run=NAME for another run"  # how to get a separate output, for the message of a mismatch

    @property
    def config_hash(self) -> str:
        """16 hex digits of the configuration."""
        return hash_of(self.config)


class Stamp(Record, frozen=True, kw_only=True):
    """The record of a stage beside its output."""

    KIND: ClassVar[str] = "stage"
    REMEDY: ClassVar[str] = "restore it, or redo the stage with force=true"

    stage: Text
    complete: bool
    amount: Count
    config_hash: Hex
    inputs: dict[str, str]
    config: Object
    command: Text = ""
    date_utc: Text = ""  # when it was written: the time of a file does not survive a copy


def hash_of(config: Mapping[str, Any]) -> str:
    """Returns 16 hex digits of a configuration of plain values."""
    return hashlib.sha256(json.dumps(dict(config), sort_keys=True).encode()).hexdigest()[:16]


def is_needed(stage: Stage, *, force: bool = False) -> bool:
    """Returns whether a stage has to run: False where its output is complete and `force` is off.

    Raises:
        InvalidInput: the output was made (or begun) with another configuration or from other inputs.
    """
    if (stamp := None if force else read_stamp(stage.output)) is None:  # a damaged one is redone by force
        return True
    if differences := _differences(stage, stamp):
        verb = "made" if stamp.complete else "begun"
        raise InvalidInput(
            f"{stage.output} was {verb} {differences}: use {stage.beside} beside it, or force=true to redo this one"
        )
    return not (stamp.complete and stamp.amount >= stage.amount)


def resumes_in(stage: Stage, *, force: bool = False) -> Path | None:
    """Returns the folder or file that `written` will go on with; None where it begins anew."""
    target = _beside(stage.output, "new") if force else stage.output
    return target if target.exists() and (not force or _can_resume(stage, target)) else None


def was_cut_off_replacing(output: Path) -> bool:
    """Returns whether `written` was interrupted between removing an old output and moving the complete new one in."""
    with suppress(InvalidInput):  # a damaged stamp: its origin is unknown
        return not stamp_path(output).exists() and is_complete(_beside(output, "new"))
    return False


def finish_replacing(output: Path) -> None:
    """Finishes the last renames of `written` after a kill, so that a complete output counts as complete.

    The caller must hold the output's exclusive lock: while the writer is alive, the renames are the writer's.
    """
    if not was_cut_off_replacing(output):
        return
    new = _beside(output, "new")
    if output.suffix == ".json" and not new.exists():
        stamp_path(new).replace(stamp_path(output))  # the first of its two renames was done
    else:
        _replace(output, new)


def is_outdated(stage: Stage) -> bool:
    """Returns whether the existing output was made (or begun) with another configuration or from other inputs."""
    stamp = read_stamp(stage.output)
    return stamp is not None and bool(_differences(stage, stamp))


@contextmanager
def written(stage: Stage, *, force: bool = False) -> Iterator[Path]:
    """Yields the path to write a stage's output to, and marks it complete when the block ends without an error.

    With `force` that is a new path, which replaces the old one when complete; an interrupted one resumes.
    An output that an error left empty is removed.
    """
    target = _beside(stage.output, "new") if force else stage.output
    if force and not _can_resume(stage, target):
        remove_output(target)
    check_finite(stage.config)
    remove_leftovers_below(target)
    new_folders = [path for path in target.parents if not path.exists()]
    write_record(stamp_path(target), _stamp(stage, complete=False))
    try:
        yield target
    except Exception:
        if not _holds_anything(target):
            remove_output(target)
            for folder in new_folders:
                if not any(folder.iterdir()):
                    folder.rmdir()
        raise
    write_record(stamp_path(target), _stamp(stage, complete=True))
    if force:
        _replace(stage.output, target)
    elif not (new := _beside(stage.output, "new")).exists():
        stamp_path(new).unlink(missing_ok=True)  # of a forced stage that was interrupted before it wrote anything


def is_complete(output: Path) -> bool:
    """Whether a stage finished writing `output`."""
    stamp = read_stamp(output)
    return stamp is not None and bool(stamp.complete)


def stamped_config(output: Path) -> dict[str, Any]:
    """Returns the configuration that an output was made (or begun) with; empty without an output."""
    stamp = read_stamp(output)
    return dict(stamp.config) if stamp else {}


def stamped_inputs(output: Path) -> dict[str, str]:
    """Returns the inputs that an output was made (or begun) from; empty without an output."""
    stamp = read_stamp(output)
    return dict(stamp.inputs) if stamp else {}


def stamp_path(output: Path) -> Path:
    """Returns the path of the stamp of an output folder or file."""
    return output.with_suffix(f".{STAMP}") if output.suffix == ".json" else output / STAMP


def _stamp(stage: Stage, *, complete: bool) -> Stamp:
    return Stamp(
        stage=stage.name,
        complete=complete,
        amount=stage.amount,
        config_hash=stage.config_hash,
        inputs=dict(stage.inputs),
        config=dict(stage.config),
        command=command_line(),
        date_utc=datetime.now(UTC).isoformat(timespec="microseconds"),
    )


def read_stamp(output: Path) -> Stamp | None:
    """Returns the stamp of an output folder or file; None without one."""
    path = stamp_path(output)
    try:
        return read_record(path, Stamp) if path.exists() else None
    except InvalidInput:
        if not path.exists():  # its writer has just moved it aside
            return None
        raise


def _can_resume(stage: Stage, target: Path) -> bool:
    """Whether a forced stage can resume what lies at `target`: the same stage, incomplete, its stamp readable."""
    try:
        stamp = read_stamp(target)
    except InvalidInput:
        return False
    return stamp is None or not (stamp.complete or _differences(stage, stamp))


def _differences(stage: Stage, stamp: Stamp) -> str:
    """The first difference from the stamp, in words; empty where there is none."""
    config = json.loads(json.dumps(dict(stage.config)))
    for name, digest in stage.inputs.items():
        if stamp.inputs.get(name) != digest:
            return f"from another {name} ({stamp.inputs.get(name)} there, {digest} now)"
    changed = config_differences(stamp.config, config)
    return f"with another configuration ({changed})" if changed else ""


def _beside(path: Path, word: str) -> Path:
    if path.suffix == ".json":
        return path.with_name(f"{path.stem}.{word}.json")
    return path.with_name(f"{path.name}.{word}")  # no suffix: a folder's name may contain dots, as in sparsity=0.9


def _replace(output: Path, new: Path) -> None:
    """Replaces `output` by `new`; an old folder is moved aside first and removed last, a file's stamp removed first."""
    if output.suffix == ".json":
        stamp_path(output).unlink(missing_ok=True)
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
    return any(path.name not in (STAMP, DATA, START) for path in output.iterdir())
