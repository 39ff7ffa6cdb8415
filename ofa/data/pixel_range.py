"""Where the range of a data set's pixels ends, from what they are."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from ofa.data.dataset import PixelSource
from ofa.data.statistics import sampled

_BITS = (8, 10, 12, 14, 16)  # of cameras, scanners and microscopes; files have 8 or 16


def pixel_range(splits: Iterable[Tensor | PixelSource], depth: str) -> tuple[float, str]:
    """Returns what white is stored as, and what the numbers are in words.

    8 bits end at 255. 16 bits end where the fewest bits do that hold every pixel seen, so that the 12 bits of
    a camera end at 4095. Floating point ends at 1, or at the largest value seen where that is more.

    Args:
        splits: all of them; of more than 10,000 images an evenly spaced 10,000 are looked at.
        depth: "uint8", "uint16" or "float32".
    """
    if depth == "uint8":
        return 255.0, "8 bits, 0 to 255"
    largest = max(float(pixels.max()) for source in splits for pixels in sampled(source, torch.float64))
    if depth == "uint16":
        bits = next(bits for bits in _BITS if largest < 2**bits)
        return 2.0**bits - 1, f"16 bits, of which {bits} are used: 0 to {2**bits - 1}"
    end = max(1.0, largest)
    return end, f"floating point, 1.0 is white, {end:g} at most" if end == 1 else f"floating point, {end:g} at most"
