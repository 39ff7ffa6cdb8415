"""What a pruned network takes without a format of its own: xz, a bit for each weight, and plain files."""

from __future__ import annotations

import lzma
from collections.abc import Mapping

import numpy as np
from torch import Tensor


def baselines(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Returns bytes of all tensors by method: float32, xz of float32, and a bit a weight with the values kept."""
    arrays = [tensor.detach().float().numpy() for tensor in tensors.values()]
    raw = b"".join(array.tobytes() for array in arrays)
    masked = b"".join(np.packbits(array != 0).tobytes() + array[array != 0].tobytes() for array in arrays)
    return {"float32": len(raw), "xz": len(lzma.compress(raw, preset=9)), "bitmask": len(masked)}
