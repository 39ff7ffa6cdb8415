"""Split: examples with their targets, all in memory or decoded when asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from ofa.data.batch_source import BatchSource
from ofa.data.identity import identities_of
from ofa.data.input_table import InputTable
from ofa.data.preprocessing import Preprocessing
from ofa.data.stored_arrays import StoredArray
from ofa.data.targets import Targets, are_labels, check_targets, device_of, rows_of_targets, targets_in_words
from ofa.errors import InvalidInput
from ofa.inputs import Inputs
from ofa.task.batch import Batch, on_device

_CHUNK = 1024  # images normalized at a time, so that no second copy of a whole split is made
_AT_ONCE_BYTES = 2**24  # of numbers that are computed on at once, as float32


class PixelSource(Protocol):
    """Images that are decoded when asked for; a Tensor is the other kind of source."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""

    def take(self, rows: Tensor) -> Tensor:
        """Returns the images of these rows, (len(rows), C, H, W), as they are stored."""


@dataclass(frozen=True, eq=False)
class Split:
    """Examples and their targets: pixels (N, C, H, W) held as a Tensor or decoded when asked for, labels (N,) int64.

    In place of pixels there may be any tensor (N, ...): signals (N, C, T), rows of a table (N, C), token ids (N, T) of
    whole numbers with a preprocessing without mean and std; an `InputTable` of several tensors; or a `BatchSource`, a
    loader that gives inputs and targets together, with None for targets.
    Targets are labels, or of any kind that `ofa.data.targets` knows: floats or bools (N, K), masks (N, H, W), a
    dictionary of padded boxes, a list of N entries, None.
    `known_identities` (N,) int64 are of the samples as they are stored, where pixels are not (see `identities`).
    `origin` says in a few words where the images are from.
    """

    pixels: Tensor | PixelSource | InputTable | BatchSource
    targets: Targets
    preprocessing: Preprocessing
    memory_limit: int = 8 * 2**30  # bytes that `images` may take
    known_identities: Tensor | None = None
    origin: str = ""

    def __post_init__(self) -> None:
        shape, mean = tuple(self.pixels.shape), self.preprocessing.mean
        if isinstance(self.pixels, BatchSource):
            return
        if mean and not isinstance(self.pixels, InputTable) and (len(shape) < 2 or shape[1] != len(mean)):
            raise InvalidInput(f"pixels {shape} do not fit mean and std of {len(mean)} channels; give one per channel")
        check_targets(self.targets, len(self), f"pixels {shape}")

    def __len__(self) -> int:
        """The number of examples."""
        return self.pixels.count if isinstance(self.pixels, BatchSource) else int(self.pixels.shape[0])

    @property
    def labels(self) -> Tensor:
        """The targets as class labels, (N,) int64.

        Raises:
            InvalidInput: they are of another kind.
        """
        if not are_labels(self.targets):
            raise InvalidInput(f"the targets are {targets_in_words(self.targets)}, and not one class label each")
        return cast(Tensor, self.targets)

    @property
    def device(self) -> torch.device:
        """Where its tensors are."""
        here = self.pixels.device if isinstance(self.pixels, Tensor) else torch.device("cpu")
        return device_of(self.targets) or here

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W) of one image, (T,) of one text: that of one example as a network sees it."""
        return self.preprocessing.shape(tuple(self.pixels.shape[1:]))

    @property
    def table(self) -> Inputs | None:
        """All inputs, where there are several tensors for each example; None of images and texts."""
        return self.pixels.inputs if isinstance(self.pixels, InputTable) else None

    @property
    def in_memory(self) -> bool:
        """Whether the decoded pixels are held as one Tensor."""
        return isinstance(self.pixels, Tensor)

    def stored(self, rows: Tensor) -> Any:
        """Returns the pixels of `rows` as they are held, (len(rows), C, H, W); `Inputs` of a table of them."""
        if isinstance(self.pixels, BatchSource):
            return self.pixels.take(rows).inputs
        if isinstance(self.pixels, Tensor):
            return self.pixels[rows.to(self.pixels.device)]
        return self.pixels.take(rows)

    def take(self, rows: Tensor) -> tuple[Any, Targets]:
        """Returns what the network sees of `rows`, images (len(rows), C, H, W) float32, and their targets."""
        if isinstance(self.pixels, BatchSource):
            return self.seen(self.pixels.take(rows))
        unit_images = self.preprocessing.unit(self.stored(rows))
        return self.preprocessing.normalize(unit_images), rows_of_targets(self.targets, rows)

    def at_once(self, most: int = _CHUNK) -> int:
        """Returns how many examples to compute on at once: `most`, or as many as take 16 MiB."""
        return max(1, min(most, _AT_ONCE_BYTES // (4 * max(1, prod(self.shape)))))

    def in_order(self, batch_size: int | None = None) -> Iterator[tuple[Any, Targets]]:
        """Yields (inputs, targets) in stored order, not augmented: what to evaluate a split with, in little memory.

        A batch size of None is `at_once`.
        """
        batch_size = self.at_once() if batch_size is None else batch_size
        if isinstance(self.pixels, BatchSource):
            yield from map(self.seen, self.pixels.in_order(batch_size))
            return
        for rows in torch.split(torch.arange(len(self)), batch_size):
            yield self.take(rows)

    def seen(self, batch: Batch) -> tuple[Any, Targets]:
        """Returns what the network sees of a batch of a `BatchSource`, and its targets."""
        return self.preprocessing.normalize(batch.inputs), batch.targets

    def some(self, count: int, seed: int) -> Any:
        """Returns the inputs of up to `count` examples, not augmented: always the same for a seed.

        They are the first of a permutation by `seed`, so a larger count only adds examples; the first examples of all
        where these come one after the other.
        """
        if isinstance(self.pixels, BatchSource):
            return self.preprocessing.normalize(self.pixels.some(count, seed).inputs)
        return self.take(self.drawn(count, seed))[0]

    def drawn(self, count: int, seed: int) -> Tensor:
        """Returns up to `count` rows, the first of a permutation by `seed`."""
        return torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))[:count]

    @cached_property
    def first(self) -> tuple[Any, Targets]:
        """One or two examples as a network sees them, and their targets."""
        if isinstance(self.pixels, BatchSource):
            return self.seen(self.pixels.first.rows(0, 2))
        return self.take(torch.arange(min(2, len(self))))

    @cached_property
    def identities(self) -> Tensor:
        """The identity of each sample, (N,) int64: `known_identities`, or from the bytes of its pixels.

        Of a `BatchSource` those of the examples that are looked at, (M,).
        """
        if self.known_identities is not None:
            return self.known_identities
        if isinstance(self.pixels, BatchSource):
            return self.pixels.identities
        if isinstance(self.pixels, Tensor):
            return identities_of(self.pixels)
        if isinstance(self.pixels, StoredArray):
            return self.pixels.identities
        return torch.cat([identities_of(self.stored(rows)) for rows in torch.split(torch.arange(len(self)), _CHUNK)])

    @cached_property
    def images(self) -> Any:
        """All images, normalized, (N, C, H, W) float32, or all token ids or `Inputs`; computed once, held for good.

        `in_order` gives the same in little memory.

        Raises:
            InvalidInput: they would take more than `memory_limit` bytes.
        """
        if isinstance(self.pixels, BatchSource):
            raise InvalidInput(f"{self.origin}: {len(self)} examples come in batches and are not held: use `in_order`")
        count, shape = len(self), self.shape
        size = 4 * count * prod(shape)
        if size > self.memory_limit:
            raise InvalidInput(
                f"{count} images of {'x'.join(map(str, shape))} need {size / 2**30:.1f} GiB as numbers, "
                f"over the limit of {self.memory_limit / 2**30:.1f} GiB: limit their count, or use `in_order`"
            )
        if isinstance(self.pixels, InputTable):
            return self.pixels.inputs
        if self.preprocessing.as_they_are and isinstance(self.pixels, Tensor):
            return self.pixels
        images = torch.empty((count, *shape), device=self.device)
        for rows in torch.split(torch.arange(count), _CHUNK):
            images[rows[0] : rows[-1] + 1] = self.take(rows)[0].to(images.device)
        return images

    def with_height(self, height: int) -> Split:
        """Returns this split with images at another height in pixels, their width in proportion; stored as they are.

        Raises:
            InvalidInput: it is not of images.
        """
        if len(self.shape) != 3 or self.table is not None or not self.first[0].is_floating_point():
            raise InvalidInput(f"a resolution of {height} pixels is of images; these are inputs of shape {self.shape}")
        return replace(self, preprocessing=replace(self.preprocessing, height=height))

    def to(self, device: torch.device | str) -> Split:
        """Returns this split with its tensors on `device`; pixels decoded when asked for stay put."""
        pixels = self.pixels.to(device) if isinstance(self.pixels, (Tensor, InputTable)) else self.pixels
        return replace(self, pixels=pixels, targets=on_device(self.targets, device))
