"""Pixels of more than 8 bits, whole: PIL converts them to 8 bits, by their upper bits or by clipping."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from ofa.data.image_files import Reading, load_pixels, open_image
from ofa.errors import InvalidInput

if TYPE_CHECKING:
    from PIL import Image

Pixels = np.ndarray[Any, np.dtype[Any]]

_LUMA = np.array([299, 587, 114], dtype=np.float64) / 1000  # ITU-R 601, as PIL's own conversion to gray
_NATIVE = "L" if sys.byteorder == "little" else "B"
_BITS, _PLANES = 258, 284  # tags of TIFF: bits of each channel; 2 where each channel lies by itself
_DEEP = ("RGB;16", "RGBA;16", "RGBX;16")  # raw modes whose two bytes per channel can be read one after the other


def depth_of(image: Image.Image) -> str:
    """Returns how the pixels of an opened image are held: "uint8", "uint16" or "float32"."""
    raw = _raw_mode(image)
    if image.mode.startswith("I;16") or (";16" in raw and not raw.startswith("BGR")):
        return "uint16"
    if image.mode not in ("I", "F") and any(8 < bits <= 16 for bits in _tag(image, _BITS)):
        return "uint16"
    if image.mode == "I":  # PIL's 32 bits: what has 16 in these formats, anything in TIFF
        return "uint16" if image.format in ("PNG", "PPM", "JPEG2000") else "float32"
    return "float32" if image.mode == "F" else "uint8"


def is_gray(image: Image.Image) -> bool:
    """Returns whether an opened image has gray pixels, with or without alpha."""
    return image.mode in ("1", "L", "LA", "F") or image.mode.startswith("I") or _raw_mode(image).startswith("LA")


def deep_pixels(content: bytes, reading: Reading, channels: int, size: tuple[int, int] | None, origin: str) -> Pixels:
    """Returns an image of more than 8 bits as (height, width, channels), float32, its values as they are stored.

    Args:
        channels: 1 or 3; colors become gray by their luma, gray is repeated, alpha is left out.
        size: width and height to scale and crop to; None leaves it.

    Raises:
        InvalidInput: not readable, channels that cannot be read whole, or values that are not finite.
    """
    pixels = _stored(content, reading, origin).astype(np.float32)
    if not np.isfinite(pixels).all():
        raise InvalidInput(f"{origin}: has pixels that are NaN or infinite; fix or remove it")
    if channels == 1 and pixels.shape[2] == 3:
        pixels = (pixels @ _LUMA).astype(np.float32)[:, :, None]
    if size is not None and size != (pixels.shape[1], pixels.shape[0]):
        pixels = np.stack([_fit(pixels[:, :, plane], size) for plane in range(pixels.shape[2])], axis=2)
    return np.repeat(pixels, 3, axis=2) if channels == 3 and pixels.shape[2] == 1 else pixels


def _fit(plane: Pixels, size: tuple[int, int]) -> Pixels:
    from PIL import Image, ImageOps

    return np.asarray(ImageOps.fit(Image.fromarray(plane), size, Image.Resampling.BILINEAR))


def _stored(content: bytes, reading: Reading, origin: str) -> Pixels:
    """Returns (height, width, 1 or 3): unsigned 16 bits, signed 32 or float32."""
    image = open_image(content, reading, origin)
    raw = _raw_mode(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return np.asarray(load_pixels(image, origin))[:, :, None]
    if raw == "LA;16B":  # four bytes per pixel: gray, then alpha
        return _both_bytes(_reread(image, "RGBA", "RGBA", origin))
    if _tag(image, _PLANES) == (2,):
        raise InvalidInput(f"{origin}: 16 bits per channel in planes of their own cannot be read; save it interleaved")
    if not raw.startswith(_DEEP):
        raise InvalidInput(
            f"{origin}: 16 bits per channel of {image.mode} cannot be read whole; save it as gray or RGB"
        )
    mode, _, order = raw.partition(";16")
    high = np.asarray(load_pixels(open_image(content, reading, origin), origin))[:, :, :3]
    other = "B" if (order if order in ("L", "B") else _NATIVE) == "L" else "L"
    low = _reread(image, image.mode, f"{mode};16{other}", origin)[:, :, :3]
    return (high.astype(np.uint16) << 8) | low


def _both_bytes(planes: Pixels) -> Pixels:
    """Returns the 16 bits of gray from (H, W, 4) of gray's upper and lower byte and alpha's."""
    return ((planes[:, :, 0].astype(np.uint16) << 8) | planes[:, :, 1])[:, :, None]


def _reread(image: Image.Image, mode: str, raw: str, origin: str) -> Pixels:
    """Returns the pixels of an opened image, its bytes taken as another raw mode of the same length."""
    from PIL import ImageFile

    assert isinstance(image, ImageFile.ImageFile)
    image._mode = mode
    image.tile = [
        tile._replace(args=raw if isinstance(tile.args, str) else (raw, *tuple(tile.args or ())[1:]))
        for tile in image.tile
    ]
    return np.asarray(load_pixels(image, origin))


def _raw_mode(image: Image.Image) -> str:
    """Returns how the pixels lie in the file, such as "RGB;16B"; empty where the reader does not say."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0].args if tiles else ""
    raw = arguments if isinstance(arguments, str) else next(iter(arguments or ()), "")
    return raw if isinstance(raw, str) else ""


def _tag(image: Image.Image, number: int) -> tuple[int, ...]:
    """Returns the values of a tag of a TIFF; none where it has none, or is another file."""
    values = getattr(image, "tag_v2", {}).get(number, ())
    return tuple(values) if isinstance(values, tuple) else (int(values),)


def whole(pixels: Pixels, depth: str) -> Pixels:
    """Returns pixels as numbers of `depth`, rounded where these are whole."""
    return pixels if depth == "float32" else np.rint(pixels).clip(0, 65535).astype(np.dtype(depth))


def as_bytes(image: Image.Image, channels: int, origin: str) -> Image.Image:
    """Returns an 8-bit image as gray ("L") or RGB; alpha is ignored, and the color under it is used.

    Raises:
        InvalidInput: a color space that PIL does not convert.
    """
    mode = "L" if channels == 1 else "RGB"
    try:
        if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", mode):
            image = image.convert("RGB")  # CMYK and the like: PIL does not convert these to gray
        return image if image.mode == mode else image.convert(mode)
    except ValueError as error:
        raise InvalidInput(f"{origin}: {image.mode} cannot become {mode} ({error}); save it as gray or RGB") from None


def open_for(content: bytes, reading: Reading, depth: str, origin: str) -> Image.Image:
    """Returns the opened image, its pixels not read yet, if it has the depth of the others.

    Raises:
        InvalidInput: another depth than `depth`.
    """
    image = open_image(content, reading, origin)
    if (found_depth := depth_of(image)) != depth:
        raise InvalidInput(
            f"{origin}: pixels are {found_depth} where the first image's are {depth}; bring all images to one depth"
        )
    return image
