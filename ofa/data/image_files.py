"""Encoded images from untrusted sources: what is opened, how large it may be, and where a path may lead."""

from __future__ import annotations

import io
import os
import stat
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa.errors import InvalidInput

if TYPE_CHECKING:
    from PIL import Image

# Formats whose readers only decode: EPS, for one, would run Ghostscript.
FORMATS = (
    *("PNG", "JPEG", "MPO", "TIFF", "WEBP", "BMP", "GIF", "PPM", "JPEG2000", "AVIF", "TGA", "PCX", "ICO"),
    "DIB",
)
_FIRST_BYTES = {b"\x89PNG": ("PNG",), b"\xff\xd8\xff\xe0": ("JPEG",)}  # saves trying every reader
_MOST_MEGAPIXELS = 178.0  # PIL opens nothing larger
_BYTES_PER_PIXEL = 16  # of four channels of float32: no legitimate file is larger for its pixels
_SMALLEST_LIMIT = 2**20  # bytes of a file that are always accepted


@dataclass(frozen=True)
class Reading:
    """What may be read: images of `megapixels` at most, and only files inside one of `roots`.

    With `outside` files may also be links that lead out of the roots.
    """

    megapixels: float = 64.0
    roots: tuple[Path, ...] = ()
    outside: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.megapixels <= _MOST_MEGAPIXELS:
            raise InvalidInput(
                f"max_megapixels={self.megapixels}: must be above 0 and at most {_MOST_MEGAPIXELS:g}, "
                f"what Pillow opens; make larger images smaller"
            )

    @property
    def pixels(self) -> int:
        """The most pixels of an image."""
        return int(self.megapixels * 1e6)

    @property
    def file_bytes(self) -> int:
        """The most bytes of an encoded image."""
        return max(_SMALLEST_LIMIT, _BYTES_PER_PIXEL * self.pixels)


def content_of(encoded: Any, reading: Reading, origin: str) -> bytes:
    """Returns the bytes of an encoded image: bytes, a Path, or a mapping with "bytes" or "path".

    Raises:
        InvalidInput: none of these, or a path that `read_file` refuses.
    """
    if isinstance(encoded, Mapping):
        encoded = encoded.get("bytes") or encoded.get("path")
    if isinstance(encoded, bytes):
        return encoded
    if not isinstance(encoded, str | Path) or not str(encoded):
        raise InvalidInput(f"{origin}: {encoded!r:.60} is not an image")
    return read_file(_inside(str(encoded), reading, origin), reading, origin)


def read_file(path: Path, reading: Reading, origin: str) -> bytes:
    """Returns what a regular file holds.

    Raises:
        InvalidInput: it cannot be read, is a FIFO, a socket or a device, or is larger than any image allowed.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO would wait for a writer
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            check_regular(status, path, reading)
            return file.read(status.st_size)
    except OSError as error:
        raise InvalidInput(f"{origin}: {path} cannot be read ({error.strerror})") from None


def check_regular(status: os.stat_result, path: Path, reading: Reading) -> None:
    """Checks what a file is.

    Raises:
        InvalidInput: not a regular file, or larger than any image allowed.
    """
    if not stat.S_ISREG(status.st_mode):
        kinds = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder"}
        raise InvalidInput(f"{path} is {kinds.get(stat.S_IFMT(status.st_mode), 'a device')}, not a file; remove it")
    if status.st_size > reading.file_bytes:
        raise InvalidInput(
            f"{path} has {status.st_size / 2**20:,.0f} MiB, more than an image of max_megapixels="
            f"{reading.megapixels:g} takes; remove it, or raise max_megapixels"
        )


def open_image(content: bytes, reading: Reading, origin: str) -> Image.Image:
    """Returns the image of encoded bytes, its header read and its pixels not yet.

    Raises:
        InvalidInput: not a readable image of a known format, or more pixels than allowed.
    """
    from PIL import Image

    formats = _known_formats()
    try:
        image = Image.open(io.BytesIO(content), formats=_FIRST_BYTES.get(content[:4], formats))
    except Image.DecompressionBombError as error:
        reason = str(error).splitlines()[0]
        raise InvalidInput(
            f"{origin}: {reason:.60}, over max_megapixels={reading.megapixels:g}; make it smaller, or remove it"
        ) from None
    except Exception as error:  # readers raise any exception for a damaged header
        raise InvalidInput(f"{origin}: not a readable image ({_reason(error)})") from None
    if image.width * image.height > reading.pixels:
        raise InvalidInput(
            f"{origin}: {image.width}x{image.height} pixels are over max_megapixels={reading.megapixels:g}; "
            f"make it smaller, remove it, or raise max_megapixels"
        )
    return image


def load_pixels(image: Image.Image, origin: str) -> Image.Image:
    """Returns the decoded image, turned as its EXIF says.

    Raises:
        InvalidInput: it is damaged.
    """
    from PIL import ImageOps

    try:
        image.load()
        says_how = image.format in ("JPEG", "MPO") or any("exif" in str(key) or "xmp" in str(key) for key in image.info)
        if says_how:
            ImageOps.exif_transpose(image, in_place=True)  # otherwise it copies what need not be turned
        return image
    except Exception as error:  # as above; PIL says SyntaxError for broken PNG chunks
        raise InvalidInput(f"{origin}: not a readable image ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    return f"{next(iter(str(error).splitlines()), type(error).__name__):.80}"


@cache
def _known_formats() -> tuple[str, ...]:
    """Returns those of `FORMATS` that this Pillow reads."""
    from PIL import Image

    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # `Reading` has its own limit
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # of odd metadata
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _inside(path: str, reading: Reading, origin: str) -> Path:
    """Returns the path that a data set names, if that is inside one of its folders."""
    for root in map(str, reading.roots):  # text: paths take several times as long, for every image
        normal = os.path.normpath(os.path.join(root, path))
        real = os.path.realpath(normal)
        within = normal if reading.outside else real
        if _lies_in(within, root) or _lies_in(real, os.path.realpath(root)):
            return Path(normal)
    where = f"the data's folder {reading.roots[0]}" if reading.roots else "the data, which has no files beside it"
    raise InvalidInput(f"{origin}: its path {path!r:.120} leads out of {where}; remove the row or copy the file in")


def _lies_in(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)
