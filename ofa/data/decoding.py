"""Encoded images (PNG, JPEG, TIFF, ...) to tensors of one size, in several threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ofa.data.deep_pixels import Pixels, as_bytes, deep_pixels, depth_of, is_gray, open_for, whole
from ofa.data.image_files import Reading, content_of, load_pixels, open_image
from ofa.errors import InvalidInput

RESIZE = "scaled to cover the size (bilinear), then cropped around the middle"
_THREADED = 64 * 64  # pixels from which decoding in threads is faster (28x28: 1.4 times slower in two)
_DRAFT = 2  # how many times the wanted size a JPEG is decoded at, at least; as `Image.thumbnail` of Pillow does
_SLICE = 2000  # images decoded at a time, so that their encoded bytes are not all in memory at once
_DTYPES = {"uint8": torch.uint8, "uint16": torch.uint16, "float32": torch.float32}


class Encoded(Protocol):
    """A source of encoded images: a column of a table, or anything indexed by a list of rows."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: list[int]) -> Sequence[Any]:
        """Returns bytes, or a mapping with "bytes" or "path", for each row."""


@dataclass(frozen=True)
class ImageFormat:
    """What decoded images are: channels (1 gray or 3 RGB), height, width; `resize` allows other sizes.

    `depth` is the type of their numbers: "uint8", "uint16" or "float32".
    """

    channels: int
    height: int
    width: int
    resize: bool
    depth: str = "uint8"

    @property
    def dtype(self) -> torch.dtype:
        """Of the tensors."""
        return _DTYPES[self.depth]


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """Images that are decoded when asked for: rows `rows` of `encoded`, as (N, C, H, W) of the format's type."""

    encoded: Encoded
    rows: Tensor
    format: ImageFormat
    origin: str  # what to call this in an error
    threads: int = 0  # for images of 64x64 pixels or more; 0: one per processor, 8 at most
    reading: Reading = field(default_factory=Reading)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        return len(self.rows), self.format.channels, self.format.height, self.format.width

    @property
    def size_bytes(self) -> int:
        """What all of them take when decoded."""
        return int(np.prod(self.shape)) * self.format.dtype.itemsize

    def take(self, rows: Tensor) -> Tensor:
        """Returns the images (len(rows), C, H, W).

        Raises:
            InvalidInput: one cannot be decoded, or has another size and must not be resized; its row is
            named.
        """
        wanted = self.rows[rows].tolist()
        encoded = self.encoded[wanted] if wanted else []
        out = np.empty((len(wanted), *self.shape[1:]), dtype=np.dtype(self.format.depth))
        workers = self._workers()
        room = _Room(self.reading.pixels)

        def decode(first: int) -> None:
            for position in range(first, len(wanted), workers):
                origin = f"{self.origin}, row {wanted[position]}{_name_of(encoded[position])}"
                out[position] = _decode(encoded[position], self.format, self.reading, room, origin)

        if workers == 1:
            decode(0)
        else:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(decode, range(workers)))
        return torch.from_numpy(out)

    def _workers(self) -> int:
        """Returns how many threads to decode with: small images spend their time in Python, where threads wait."""
        if self.format.height * self.format.width < _THREADED:
            return 1
        return self.threads or min(8, os.cpu_count() or 1)

    def decoded(self) -> Tensor:
        """Returns all images, (N, C, H, W)."""
        out = torch.empty(self.shape, dtype=self.format.dtype)
        for rows in torch.split(torch.arange(len(self.rows)), _SLICE):
            out[rows[0] : rows[-1] + 1] = self.take(rows)
        return out


class _Room:
    """Limits the pixels that threads decode at once: one large image, or many small ones."""

    def __init__(self, pixels: int) -> None:
        self._limit, self._taken, self._changed = pixels, 0, threading.Condition()

    @contextmanager
    def for_pixels(self, pixels: int) -> Iterator[None]:
        """Waits until there is room for `pixels`."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken == 0 or self._taken + pixels <= self._limit)
            self._taken += pixels
        try:
            yield
        finally:
            with self._changed:
                self._taken -= pixels
                self._changed.notify_all()


def format_of(
    encoded: Any,
    *,
    image_size: int | Sequence[int] | None,
    channels: int | None,
    origin: str,
    reading: Reading | None = None,
) -> ImageFormat:
    """Returns the requested format; what is not given (None) is taken from the first image, `encoded`.

    Raises:
        InvalidInput: channels other than 1 and 3, a size that is not one or two numbers above 0, not an
        image.
    """
    if channels not in (None, 1, 3):
        raise InvalidInput(f"channels={channels}: must be 1 (gray) or 3 (RGB)")
    reading = reading or Reading()
    first = open_image(content_of(encoded, reading, origin), reading, origin)
    depth = depth_of(first)
    if channels is None:
        channels = 1 if is_gray(first) else 3
    if image_size is None:
        first = load_pixels(first, origin)  # its EXIF may turn it
        return ImageFormat(channels, first.height, first.width, resize=False, depth=depth)
    sizes = [image_size] * 2 if isinstance(image_size, int) else list(image_size)
    if len(sizes) != 2 or min(sizes) < 1:
        raise InvalidInput(f"image_size={image_size}: give one size, or height and width, each at least 1")
    return ImageFormat(channels, sizes[0], sizes[1], resize=True, depth=depth)


def _decode(encoded: Any, wanted: ImageFormat, reading: Reading, room: _Room, origin: str) -> Pixels:
    """Returns one image as (C, H, W)."""
    from PIL import Image, ImageOps

    content = content_of(encoded, reading, origin)
    image = open_for(content, reading, wanted.depth, origin)
    size = (wanted.width, wanted.height)
    with room.for_pixels(image.width * image.height):
        if wanted.depth != "uint8":
            pixels = deep_pixels(content, reading, wanted.channels, size if wanted.resize else None, origin)
            _check_size(pixels.shape[1], pixels.shape[0], wanted, origin)
            return whole(pixels, wanted.depth).transpose(2, 0, 1)
        if wanted.resize:
            # A large JPEG is decoded at half its size, a quarter or an eighth, but never below twice what is wanted.
            longest = _DRAFT * max(size)
            image.draft(None, (longest, longest))
        image = as_bytes(load_pixels(image, origin), wanted.channels, origin)
        if image.size != size:
            if not wanted.resize:
                _check_size(image.width, image.height, wanted, origin)
            image = ImageOps.fit(image, size, Image.Resampling.BILINEAR)
        # Channel by channel: that is how they are stored, and faster than to transpose.
        planes = [np.frombuffer(plane.tobytes(), dtype=np.uint8) for plane in image.split()]
        return np.stack(planes).reshape(wanted.channels, wanted.height, wanted.width)


def _check_size(width: int, height: int, wanted: ImageFormat, origin: str) -> None:
    if (width, height) != (wanted.width, wanted.height):
        raise InvalidInput(
            f"{origin}: {height}x{width} pixels where the first image has "
            f"{wanted.height}x{wanted.width}; set image_size to bring all to one size"
        )


def _name_of(encoded: Any) -> str:
    """The file name of an encoded image, for an error; empty where there is none."""
    return f" ({encoded})" if isinstance(encoded, os.PathLike) else ""
