"""Data sets: three splits of one task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from ofa.data.batch_source import BatchSource
from ofa.data.input_table import InputTable
from ofa.data.preprocessing import Preprocessing
from ofa.data.selection import Selection
from ofa.data.split import PixelSource, Split
from ofa.data.targets import are_labels, outputs_for, targets_in_words
from ofa.errors import InvalidInput

__all__ = ["PARTS", "Dataset", "PixelSource", "Preprocessing", "Split", "ordered"]

PARTS = ("train", "validation", "test")
_HELD_BYTES = 2**26  # of calibration images that a process keeps as numbers


def ordered(splits: Mapping[str, Split]) -> tuple[Split, Split, Split]:
    """Returns the splits in the order in which a Dataset takes them."""
    return splits["train"], splits["validation"], splits["test"]


def _alike(split: Split, other: Split) -> bool:
    """Whether examples of two splits have one shape; of those that come in batches, which may be padded, one rank."""
    if isinstance(split.pixels, BatchSource) or isinstance(other.pixels, BatchSource):
        return len(split.shape) == len(other.shape)
    return split.shape == other.shape


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three splits of one task: train to fit, validation to choose (all a search sees), test to report.

    Attributes:
        name: in cards and reports.
        train, validation, test: the splits.
        num_classes: of labels, masks, boxes or tokens; None: there are none, as in a regression.
        class_names: one for each class, in order; numbers where none are given.
        target_names: of the columns of targets (N, K): the labels of a multi-label set, the quantities of a regression.
        outputs: how many numbers a network answers with; None: see `num_outputs`.
        bytes_per_token: of a text, on average; None of all others.

    Raises:
        InvalidInput: a split without examples, splits of different shapes, labels outside the classes, or more or fewer
            names than targets.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    num_classes: int | None = None
    class_names: tuple[str, ...] = ()
    target_names: tuple[str, ...] = ()
    outputs: int | None = None
    bytes_per_token: float | None = None

    def __post_init__(self) -> None:
        for name in PARTS:
            split: Split = getattr(self, name)
            if len(split) == 0:
                raise InvalidInput(f"{self.name}: the {name} split has no examples")
            if not _alike(split, self.train):
                raise InvalidInput(f"{self.name}: {name} inputs are {split.shape}, training inputs {self.input_shape}")
            if self.num_classes is not None and are_labels(split.targets):
                self._check_labels(name, split.labels)
        columns = outputs_for(self.train.targets)
        if self.target_names and columns is not None and len(self.target_names) != columns:
            raise InvalidInput(f"{self.name}: {len(self.target_names)} target_names for targets of {columns} columns")

    def _check_labels(self, name: str, labels: Tensor) -> None:
        assert self.num_classes is not None
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= self.num_classes:
            raise InvalidInput(
                f"{self.name}: {name} labels run from {low} to {high}; {self.num_classes} classes are "
                f"numbered 0 to {self.num_classes - 1}"
            )

    @property
    def num_outputs(self) -> int:
        """How many numbers a network answers with for an example, as models are made for it.

        That is `outputs`, or the number of classes, or of columns of the targets.

        Raises:
            InvalidInput: none of these is known.
        """
        known = self.outputs or self.num_classes or outputs_for(self.train.first[1])
        if known is None:
            raise InvalidInput(
                f"{self.name}: its targets, {targets_in_words(self.train.first[1])}, do not say how many outputs a "
                "network has; give num_classes or outputs to ofa.data.Dataset"
            )
        return known

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C, H, W) of one image, (T,) of one text."""
        return self.train.shape

    @property
    def preprocessing(self) -> dict[str, Any]:
        """How pixels become the network's input, as JSON-able values."""
        return self.train.preprocessing.to_dict()

    def example(self, count: int = 2, generator: torch.Generator | None = None) -> Any:
        """Returns inputs that a network can be tried with: noise for images (count, C, H, W), and for token ids 0 or 1.

        Inputs of several tensors, and what comes in batches, are the first of the training split, one or two.
        """
        if self.train.table is not None or isinstance(self.train.pixels, BatchSource):
            return self.train.first[0]
        if self.train.first[0].is_floating_point():
            return torch.randn(count, *self.input_shape, generator=generator)
        return torch.randint(2, (count, *self.input_shape), generator=generator)

    def calibration(self, count: int, *, seed: int = 0) -> Any:
        """Returns up to `count` training images (N, C, H, W), normalized, never augmented, always the same; or inputs.

        They are the first of a permutation by `seed`, so a larger count only adds images.
        """
        if count < 1:
            raise InvalidInput(f"calibration images={count}: at least 1 is needed")
        return self.train.some(count, seed)

    def calibration_source(self, count: int, *, seed: int = 0) -> Any:
        """Returns what `calibration` does; or, where that takes more than 64 MiB, a `Selection` that reads it."""
        split = self.train
        if isinstance(split.pixels, BatchSource | InputTable) or 4 * count * prod(split.shape) <= _HELD_BYTES:
            return self.calibration(count, seed=seed)
        return Selection(split, split.drawn(count, seed))

    def to(self, device: torch.device | str) -> Dataset:
        """Returns this data set with its tensors on `device`."""
        return replace(
            self,
            train=self.train.to(device),
            validation=self.validation.to(device),
            test=self.test.to(device),
        )
