"""A Dataset that is held in memory as one file, and back with the same bits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor

from ofa.checkpoint import load_checkpoint, save_checkpoint
from ofa.data.contents import PARTS
from ofa.data.dataset import Dataset, Preprocessing, Split
from ofa.data.targets import Targets, are_labels, targets_in_words
from ofa.errors import InvalidInput
from ofa.records import AtLeastOne, Text, convert

PIXELS, LABELS, TARGETS, IDENTITIES = "pixels", "labels", "targets", "identities"


class StoredSplit(Struct, frozen=True):
    """What is stored of a split beside its tensors: how pixels become numbers, and where the images are from."""

    preprocessing: Preprocessing
    origin: Text


class StoredDataset(Struct, frozen=True):
    """What is stored of a data set beside its tensors."""

    name: Text
    num_classes: AtLeastOne | None
    class_names: tuple[Text, ...]
    splits: dict[str, StoredSplit]
    target_names: tuple[Text, ...] = ()
    outputs: AtLeastOne | None = None
    bytes_per_token: float | None = None


def save_data(data: Dataset, path: Path) -> None:
    """Writes a data set to one file, atomically: pixels as they are held, targets, preprocessing and names.

    Raises:
        InvalidInput: its images are decoded when asked for, and not held as a tensor; or its targets are neither a
            tensor nor a dictionary of tensors nor None.
    """
    tensors: dict[str, Tensor] = {}
    splits = {}
    for part in PARTS:
        split: Split = getattr(data, part)
        if not isinstance(split.pixels, Tensor):
            raise InvalidInput(
                f"{data.name}: images of {part} are decoded when asked for, and only tensors are stored: "
                f"name the function that makes the data instead"
            )
        tensors[f"{part}.{PIXELS}"] = split.pixels
        tensors |= {f"{part}.{name}": held for name, held in _named_targets(data.name, split.targets).items()}
        if split.known_identities is not None:
            tensors[f"{part}.{IDENTITIES}"] = split.known_identities
        splits[part] = {"preprocessing": vars(split.preprocessing), "origin": split.origin}
    meta = {name: getattr(data, name) for name in ("name", "num_classes", "outputs", "bytes_per_token")}
    meta |= {"class_names": list(data.class_names), "target_names": list(data.target_names), "splits": splits}
    save_checkpoint(path, _apart(tensors), {"data": meta})


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, those that share memory with one before them or have gaps copied: a file holds each on its own."""
    seen: set[int] = set()
    apart = {}
    for name, tensor in tensors.items():
        start = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if start in seen else tensor.contiguous()
        seen.add(start)
    return apart


def load_data(path: Path | str) -> Dataset:
    """Returns the data set that `save_data` wrote.

    Raises:
        InvalidInput: the file is missing, damaged, or holds no data set.
    """
    path = Path(path)
    tensors, meta = load_checkpoint(path)
    content: StoredDataset = convert(meta.get("data"), StoredDataset, f"{path} holds no data set")
    if set(content.splits) != set(PARTS):
        raise InvalidInput(f"{path} holds no data set: it needs {', '.join(PARTS)}")
    splits = {part: _split(path, part, tensors, content.splits[part]) for part in PARTS}
    return Dataset(
        content.name,
        **splits,
        num_classes=content.num_classes,
        class_names=content.class_names,
        target_names=content.target_names,
        outputs=content.outputs,
        bytes_per_token=content.bytes_per_token,
    )


def _named_targets(name: str, targets: Targets) -> dict[str, Tensor]:
    """Targets as named tensors."""
    if targets is None:
        return {}
    if isinstance(targets, Tensor):
        return {LABELS if are_labels(targets) else TARGETS: targets}
    if isinstance(targets, Mapping) and all(isinstance(part, Tensor) for part in targets.values()):
        return {f"{TARGETS}.{key}": part for key, part in targets.items()}
    raise InvalidInput(
        f"{name}: its targets are {targets_in_words(targets)}, and only tensors are stored: "
        f"name the function that makes the data instead"
    )


def _targets(path: Path, part: str, tensors: Mapping[str, Tensor]) -> Targets:
    """The targets of a split: what `_named_targets` names."""
    start = f"{part}.{TARGETS}."
    by_key = {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
    if by_key:
        return by_key
    if f"{part}.{TARGETS}" in tensors:
        return tensors[f"{part}.{TARGETS}"]
    labeled = any(name.endswith(f".{LABELS}") for name in tensors)
    return _tensor(path, tensors, f"{part}.{LABELS}") if labeled else None


def _split(path: Path, part: str, tensors: Mapping[str, Tensor], content: StoredSplit) -> Split:
    pixels, targets = _tensor(path, tensors, f"{part}.{PIXELS}"), _targets(path, part, tensors)
    identities: Any = tensors.get(f"{part}.{IDENTITIES}")
    labels = tensors.get(f"{part}.{LABELS}")
    for name, tensor in ((LABELS, labels), (IDENTITIES, identities)):
        if tensor is not None and (tensor.dtype != torch.int64 or tensor.dim() != 1 or len(tensor) != len(pixels)):
            raise InvalidInput(f"{path} is damaged ({part}.{name} are not one whole number for each image)")
    return Split(pixels, targets, content.preprocessing, known_identities=identities, origin=content.origin)


def _tensor(path: Path, tensors: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in tensors:
        raise InvalidInput(f"{path} is damaged ({name} is missing)")
    return tensors[name]
