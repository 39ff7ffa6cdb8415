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
from ofa.errors import InvalidInput
from ofa.records import AtLeastOne, Text, convert

PIXELS, LABELS, IDENTITIES = "pixels", "labels", "identities"


class StoredSplit(Struct, frozen=True):
    """What is stored of a split beside its tensors: how pixels become numbers, and where the images are from."""

    preprocessing: Preprocessing
    origin: Text


class StoredDataset(Struct, frozen=True):
    """What is stored of a data set beside its tensors."""

    name: Text
    num_classes: AtLeastOne
    class_names: tuple[Text, ...]
    splits: dict[str, StoredSplit]


def save_data(data: Dataset, path: Path) -> None:
    """Writes a data set to one file, atomically: pixels as they are held, labels, preprocessing and names.

    Raises:
        InvalidInput: its images are decoded when asked for, and not held as a tensor.
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
        tensors |= {f"{part}.{PIXELS}": split.pixels, f"{part}.{LABELS}": split.labels}
        if split.known_identities is not None:
            tensors[f"{part}.{IDENTITIES}"] = split.known_identities
        splits[part] = {"preprocessing": vars(split.preprocessing), "origin": split.origin}
    meta = {"name": data.name, "num_classes": data.num_classes, "class_names": list(data.class_names), "splits": splits}
    save_checkpoint(path, tensors, {"data": meta})


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
    return Dataset(content.name, **splits, num_classes=content.num_classes, class_names=content.class_names)


def _split(path: Path, part: str, tensors: Mapping[str, Tensor], content: StoredSplit) -> Split:
    pixels, labels = (_tensor(path, tensors, f"{part}.{name}") for name in (PIXELS, LABELS))
    identities: Any = tensors.get(f"{part}.{IDENTITIES}")
    for name, tensor in ((LABELS, labels), (IDENTITIES, identities)):
        if tensor is not None and (tensor.dtype != torch.int64 or tensor.dim() != 1 or len(tensor) != len(labels)):
            raise InvalidInput(f"{path} is damaged ({part}.{name} are not one whole number for each image)")
    return Split(pixels, labels, content.preprocessing, known_identities=identities, origin=content.origin)


def _tensor(path: Path, tensors: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in tensors:
        raise InvalidInput(f"{path} is damaged ({name} is missing)")
    return tensors[name]
