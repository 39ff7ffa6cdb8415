"""Encoded images (PNG, JPEG, ...) to uint8 tensors of one size, in several threads."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ofa.errors import InvalidInput

if TYPE_CHECKING:
    from PIL import Image

RESIZE = "scaled to cover the size (bilinear), then cropped around the middle"
_THREADED = 64 * 64  # pixels from which decoding in threads is faster (28x28: 1.4 times slower in two)
_FORMATS = {b"\x89PNG": ("PNG",), b"\xff\xd8\xff\xe0": ("JPEG",)}  # by first bytes: saves trying every reader
_SLICE = 2000  # images decoded at a time, so that their encoded bytes are not all in memory at once


class Encoded(Protocol):
    """What holds encoded images: a column of a table, or anything indexed by a list of rows."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: list[int]) -> Sequence[Any]:
        """Returns bytes, or a mapping with "bytes" or "path", for each row."""


@dataclass(frozen=True)
class ImageFormat:
    """What decoded images are: channels (1 gray or 3 RGB), height, width; `resize` allows other sizes."""

    channels: int
    height: int
    width: int
    resize: bool


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """Images that are decoded when asked for: rows `rows` of `encoded`, as (N, C, H, W) uint8."""

    encoded: Encoded
    rows: Tensor
    format: ImageFormat
    origin: str  # what to call this in an error
    threads: int = 0  # for images of 64x64 pixels or more; 0: one a processor, 8 at most

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        return len(self.rows), self.format.channels, self.format.height, self.format.width

    @property
    def size_bytes(self) -> int:
        """What all of them take when decoded."""
        return int(np.prod(self.shape))

    def take(self, rows: Tensor) -> Tensor:
        """Returns the images (len(rows), C, H, W), uint8.

        Raises:
            InvalidInput: one cannot be decoded, or has another size and must not be resized; its row is
            named.
        """
        wanted = self.rows[rows].tolist()
        encoded = self.encoded[wanted]
        out = np.empty((len(wanted), *self.shape[1:]), dtype=np.uint8)
        workers = self._workers()

        def decode(first: int) -> None:
            for position in range(first, len(wanted), workers):
                out[position] = _decode(encoded[position], self.format, f"{self.origin}, row {wanted[position]}")

        if workers == 1:
            decode(0)
        else:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(decode, range(workers)))
        return torch.from_numpy(out)

    def _workers(self) -> int:
        """Returns how many threads to decode with: small images take Python's time, where threads wait."""
        if self.format.height * self.format.width < _THREADED:
            return 1
        return self.threads or min(8, os.cpu_count() or 1)

    def decoded(self) -> Tensor:
        """Returns all images, (N, C, H, W) uint8."""
        out = torch.empty(self.shape, dtype=torch.uint8)
        for rows in torch.split(torch.arange(len(self.rows)), _SLICE):
            out[rows[0] : rows[-1] + 1] = self.take(rows)
        return out


def format_of(
    encoded: Any, *, image_size: int | Sequence[int] | None, channels: int | None, origin: str
) -> ImageFormat:
    """Returns the format asked for; what is not asked for (None) is taken from the first image, `encoded`.

    Raises:
        InvalidInput: channels other than 1 and 3, a size that is not one or two numbers above 0, not an
        image.
    """
    if channels not in (None, 1, 3):
        raise InvalidInput(f"channels={channels}: must be 1 (gray) or 3 (RGB)")
    first = open_image(encoded, origin)
    if channels is None:
        channels = 1 if first.mode in ("1", "L", "LA") or first.mode.startswith("I") else 3
    if image_size is None:
        return ImageFormat(channels, first.height, first.width, resize=False)
    sizes = [image_size] * 2 if isinstance(image_size, int) else list(image_size)
    if len(sizes) != 2 or min(sizes) < 1:
        raise InvalidInput(f"image_size={image_size}: give one size, or height and width, each at least 1")
    return ImageFormat(channels, sizes[0], sizes[1], resize=True)


def open_image(encoded: Any, origin: str) -> Image.Image:
    """Returns the decoded image of bytes, or of a mapping with "bytes" or "path", turned as its EXIF says.

    Raises:
        InvalidInput: it is none of these, or not a readable image.
    """
    from PIL import Image, ImageOps

    if isinstance(encoded, dict):
        encoded = encoded.get("bytes") or encoded.get("path")
    if not isinstance(encoded, (bytes, str)):
        raise InvalidInput(f"{origin}: {encoded!r:.60} is not an image")
    try:
        if isinstance(encoded, bytes):
            image: Image.Image = Image.open(io.BytesIO(encoded), formats=_FORMATS.get(encoded[:4]))
        else:
            image = Image.open(encoded)
        image.load()
    except (OSError, ValueError, SyntaxError) as error:  # PIL says SyntaxError for broken PNG chunks
        raise InvalidInput(f"{origin}: not a readable image ({str(error).splitlines()[0]:.80})") from None
    return ImageOps.exif_transpose(image) if image.format == "JPEG" else image


def _decode(encoded: Any, wanted: ImageFormat, origin: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Returns one image as (C, H, W)."""
    from PIL import Image, ImageOps

    image = open_image(encoded, origin)
    if image.mode.startswith("I"):  # 16 bits a pixel: PIL's own conversion to 8 clips instead of scaling
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    mode = "L" if wanted.channels == 1 else "RGB"
    if image.mode != mode:
        image = image.convert(mode)
    if image.size != (wanted.width, wanted.height):
        if not wanted.resize:
            raise InvalidInput(
                f"{origin}: {image.height}x{image.width} pixels where the first image has "
                f"{wanted.height}x{wanted.width}; set image_size to bring all to one size"
            )
        image = ImageOps.fit(image, (wanted.width, wanted.height), Image.Resampling.BILINEAR)
    pixels = np.frombuffer(image.tobytes(), dtype=np.uint8)
    return pixels.reshape(wanted.height, wanted.width, wanted.channels).transpose(2, 0, 1)
