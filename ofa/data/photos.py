"""Photos of any size in the rows of a stream, made into tensors of one size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ofa.data.deep_pixels import as_bytes
from ofa.data.image_files import Reading, content_of, load_pixels, open_image
from ofa.errors import InvalidInput


def photo(row: Mapping[str, Any], *, column: str = "jpg", size: int = 224, channels: int = 3) -> dict[str, Any]:
    """Returns the row with its photo as a tensor (channels, size, size) in [0, 1]: a `transform` of `ofa.data.stream`.

    It is scaled to cover the size (bilinear) and cropped around the middle.

    Args:
        row: of a stream; other columns are left as they are.
        column: of the photo, an image of Pillow or encoded.
        size: pixels along a side.
        channels: 1 (gray) or 3 (RGB).

    Raises:
        InvalidInput: no such column, or what is no readable image.
    """
    from PIL import Image, ImageOps

    if column not in row:
        raise InvalidInput(f"rows have no {column!r}; they have {', '.join(map(str, row))}")
    image, reading = row[column], Reading()
    if not isinstance(image, Image.Image):
        image = open_image(content_of(image, reading, column), reading, column)
    fitted = as_bytes(load_pixels(image, column), channels, column)
    if fitted.size != (size, size):
        fitted = ImageOps.fit(fitted, (size, size), Image.Resampling.BILINEAR)
    planes = [np.frombuffer(plane.tobytes(), dtype=np.uint8) for plane in fitted.split()]
    pixels = torch.from_numpy(np.stack(planes).reshape(channels, size, size))
    return {**row, column: pixels.to(torch.float32).div_(255.0)}
