"""Checks of a data set: errors where it cannot be used, warnings on constant images and overlapping splits."""

from __future__ import annotations

import torch
from torch import Tensor

from ofa.data.batch_source import BatchSource
from ofa.data.dataset import Dataset, Split
from ofa.data.input_table import InputTable
from ofa.data.targets import are_labels
from ofa.errors import InvalidInput

_SAMPLE = 512  # images of a split that are looked at, evenly spaced
_CHUNK = 32  # of them at a time


def check_data(data: Dataset) -> list[str]:
    """Returns one line per doubt about a data set.

    Raises:
        InvalidInput: training images that are all the same, training labels of one class or targets that are all the
            same, or test or validation images that are all training images too.
    """
    notes = _check_labels(data) if are_labels(data.train.targets) else _check_targets(data)
    for part in ("train", "validation", "test"):
        notes += _check_pixels(data, part)
    return notes + _check_shared(data)


def _check_labels(data: Dataset) -> list[str]:
    present = sorted(set(data.train.labels.tolist()))
    if len(present) < 2:
        raise InvalidInput(
            f"{data.name}: every training {_noun(data)} has the label {_class(data, present[0])}; give {_noun(data)}s "
            "of two classes"
        )
    notes = []
    if missing := sorted(set(range(data.num_classes or 0)) - set(present)):
        names = ", ".join(_class(data, label) for label in missing[:4])
        notes.append(f"{len(missing)} of {data.num_classes} classes have no training {_noun(data)} ({names})")
    for part in ("validation", "test"):
        labels = set(getattr(data, part).labels.tolist())
        if len(labels) == 1:
            notes.append(f"every {part} {_noun(data)} has the label {_class(data, labels.pop())}")
    return notes


def _check_targets(data: Dataset) -> list[str]:
    targets = data.train.targets
    if not isinstance(targets, Tensor) or len(targets) < 2:
        return []
    columns = targets.reshape(len(targets), -1)
    if not columns.shape[1]:
        return []
    constant = (columns == columns[:1]).all(dim=0)
    if bool(constant.all()):
        raise InvalidInput(f"{data.name}: every training target is the same; give targets that vary")
    if targets.dim() != 2 or not constant.any():
        return []
    names = data.target_names or tuple(map(str, range(targets.shape[1])))
    shown = ", ".join(names[column] for column in constant.nonzero().flatten().tolist()[:4])
    return [f"{int(constant.sum())} of {len(names)} targets are the same for every training example ({shown})"]


def _check_pixels(data: Dataset, part: str) -> list[str]:
    split: Split = getattr(data, part)
    if isinstance(split.pixels, InputTable | BatchSource):
        return []
    rows = torch.linspace(0, len(split) - 1, min(len(split), _SAMPLE)).long()
    first = split.stored(rows[:1]).to(torch.float32).flatten(1)
    ranges, differ = [], False
    for some in torch.split(rows, _CHUNK):
        pixels = split.stored(some).to(torch.float32).flatten(1)
        ranges.append(torch.stack([pixels.amin(1), pixels.amax(1)]))
        differ = differ or not bool((pixels == first).all())
    low, high = torch.cat(ranges, 1)
    if part == "train" and len(split) > 1 and not differ:
        what = f"every pixel is {float(low[0]):g}" if low[0] == high[0] else "all are the same"
        raise InvalidInput(
            f"{data.name}: training {_noun(data)}s do not vary, {what} ({split.preprocessing.stored or 'as given'}); "
            f"check the files and how they are decoded (what is drawn by transparency alone is not seen)"
        )
    constant = int((low == high).sum())
    if not constant:
        return []
    noun = _noun(data)
    such = "black" if noun == "image" else "zero"
    return [f"{constant} of {len(rows)} {part} {noun}s looked at are of one value, such as all {such}"]


def _check_shared(data: Dataset) -> list[str]:
    notes = []
    for part, other in (("test", "train"), ("validation", "train"), ("test", "validation")):
        split, beside = getattr(data, part), getattr(data, other)
        if isinstance(split.pixels, BatchSource) or isinstance(beside.pixels, BatchSource):
            continue  # few of their examples are known
        shared = int(torch.isin(split.identities, beside.identities).sum())
        if shared == len(split) and other == "train":
            raise InvalidInput(
                f"{data.name}: all {shared} {part} {_noun(data)}s are training {_noun(data)}s too, so they say nothing "
                f"about new ones; give others, or {part}=null to cut some out of the training {_noun(data)}s"
            )
        if shared:
            same = f"{'training' if other == 'train' else other} {_noun(data)}s"
            notes.append(f"{shared} of {len(split)} {part} {_noun(data)}s are {same} too, and are judged too well")
    return notes


def _noun(data: Dataset) -> str:
    """What an example is called: an image where it has channels, a height and a width."""
    return "image" if len(data.input_shape) == 3 else "example"


def _class(data: Dataset, label: int) -> str:
    return repr(data.class_names[label]) if label < len(data.class_names) else str(label)
