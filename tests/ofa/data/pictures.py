"""Image files made for the tests: gray, color, 16 bits per channel, and folders of them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ofa.data.decoding import EncodedImages, format_of

Pixels = np.ndarray[Any, np.dtype[Any]]


def noise(count: int, *, shape: tuple[int, ...] = (8, 8), seed: int = 0) -> list[Pixels]:
    """Returns images of random bytes."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(count)]


def encoded(pixels: Pixels, kind: str = "PNG", **options: Any) -> bytes:
    """Returns an image as a file's bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind, **options)
    return buffer.getvalue()


def png16(pixels: Pixels) -> bytes:
    """Returns (H, W, C) of 16 bits, C from 1 to 4, as a PNG file; rows are filtered by their left neighbors."""
    height, width, channels = pixels.shape
    color = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    lines = pixels.astype(">u2").tobytes()
    pitch, step, out = width * channels * 2, channels * 2, b""
    for row in range(height):
        line = np.frombuffer(lines[row * pitch : (row + 1) * pitch], np.uint8)
        left = np.concatenate([np.zeros(step, np.uint8), line[:-step]])
        out += b"\1" + (line - left).tobytes()

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 16, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(out)) + chunk(b"IEND", b"")


def black_png(width: int, height: int) -> bytes:
    """Returns a black PNG of that size by its header, with no pixels in it."""
    good = png16(np.zeros((1, 1, 1), np.uint16))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    head = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return good[:8] + head + good[8 + 25 :]


def write_classes(folder: Path, images: dict[str, list[Pixels]], *, start: int = 0) -> None:
    """Writes images as `folder`/<class>/<number>.png."""
    for name, pictures in images.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number, picture in enumerate(pictures, start):
            Image.fromarray(picture).save(folder / name / f"{number:04d}.png")


class Rows(list[bytes]):
    """Encoded images, indexed by a list of rows."""

    def __getitem__(self, rows: Any) -> Any:
        return [list.__getitem__(self, row) for row in rows]


def decoded(content: bytes, *, size: int | None = None, channels: int | None = None) -> torch.Tensor:
    """Returns an encoded image as (C, H, W)."""
    form = format_of(content, image_size=size, channels=channels, origin="it")
    return EncodedImages(Rows([content]), torch.tensor([0]), form, "it").decoded()[0]
