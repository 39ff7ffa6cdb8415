"""The files of a sharded checkpoint: safetensors of each process, and a record that says when a folder is whole."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from torch import Tensor
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter

from ofa.errors import InvalidInput
from ofa.paths import sync_folder
from ofa.processes import Processes
from ofa.records import Count, FileName, Hex, Object, Part, Record, write_record

RECORD = "checkpoint.json"
_BLOCK = 2**20  # bytes


class ShardFile(Part, frozen=True, kw_only=True):
    """One file of shards, by its SHA-256."""

    name: FileName
    sha256: Hex


class ShardedRecord(Record, frozen=True, kw_only=True):
    """What belongs to the files of shards.

    Attributes:
        step: how many steps were done.
        shapes: of all tensors, whole.
        values: of the optimizer, beside its tensors.
    """

    KIND: ClassVar[str] = "sharded checkpoint"
    REMEDY: ClassVar[str] = "delete its folder: the training then goes on from an older one, or from the start"

    step: Count
    files: tuple[ShardFile, ...]
    shapes: dict[str, tuple[Count, ...]]
    values: Object


class ShardWriter(HuggingFaceStorageWriter):
    """Writes shards with their checksums into a folder that gets its name once all processes have."""

    def __init__(self, final: Path, token: str, done: int, values: Mapping[str, Any]) -> None:
        self._temporary = final.with_name(f".{final.name}.{token}")
        super().__init__(str(self._temporary), save_distributed=True)
        self._final, self._done, self._values = final, done, dict(values)

    def write_data(self, plan: Any, planner: Any) -> Any:
        """Returns what was written, after leaving the checksum of each file beside it."""
        written = super().write_data(plan, planner)
        for name in {result.storage_data.relative_path for result in written.wait()}:
            file = self._temporary / name
            file.with_suffix(".sha256").write_text(_sha256(file))
        return written

    def finish(self, metadata: Any, results: Any) -> None:
        """Gives the folder its record and its name; called in one process, after the others have written."""
        names = sorted({result.storage_data.relative_path for part in results for result in part})
        sums = [(self._temporary / name).with_suffix(".sha256") for name in names]
        record = ShardedRecord(
            step=self._done,
            files=tuple(ShardFile(name=name, sha256=file.read_text()) for name, file in zip(names, sums, strict=True)),
            shapes={name: tuple(stored.size) for name, stored in metadata.state_dict_metadata.items()},
            values=msgspec.to_builtins(self._values),
        )
        for file in sums:
            file.unlink()
        write_record(self._temporary / RECORD, record)
        shutil.rmtree(self._final, ignore_errors=True)
        self._temporary.rename(self._final)
        sync_folder(self._final.parent)
        for other in [*self._final.parent.glob("step-*"), *self._final.parent.glob(".step-*")]:
            if other != self._final:
                shutil.rmtree(other, ignore_errors=True)


def check_shards(folder: Path, record: ShardedRecord, tensors: Mapping[str, Tensor], group: Processes) -> None:
    """Checks files and shapes; processes share the reading.

    Raises:
        InvalidInput: see `ShardedCheckpoint.resume`.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(shapes.keys() | record.shapes.keys()):
        if shapes.get(name) != record.shapes.get(name):
            here, there = shapes.get(name, "none"), record.shapes.get(name, "none")
            raise InvalidInput(f"{folder} is of another model or optimizer: {name} is {there} in it and {here} here")

    def check_files() -> None:
        if {file.name for file in record.files} != {path.name for path in folder.glob("*.safetensors")}:
            raise InvalidInput(f"{folder} lacks files, or has others than its record names; {record.REMEDY}")
        for file in record.files[group.rank :: group.count]:
            if _sha256(folder / file.name) != file.sha256:
                raise InvalidInput(f"{folder / file.name} is damaged (its checksum differs); {record.REMEDY}")

    group.each(check_files)


def _sha256(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            total.update(block)
    return total.hexdigest()
