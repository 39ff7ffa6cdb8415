"""Weights as whole multiples of a step: where training drew them to such, rounding costs little."""

from __future__ import annotations

import torch
from torch import Tensor

from ofa.errors import InvalidInput, is_whole


def integer_levels(weight: Tensor, bits: int) -> tuple[Tensor, float]:
    """Returns the nearest signed integers, int32 in the weight's shape, and the step of which they are multiples.

    The step is that of `ofa.prune.regularizers.IntegerAttracting` with the same bits: the largest weight is the
    largest integer, 2^(bits - 1) - 1. A weight below half a step becomes 0, a removed one stays 0.

    Source: symmetric uniform quantization, as in Elthakeb et al. 2019, 1905.01416 (SinReQ).

    Raises:
        InvalidInput: bits that are no whole number from 2 to 16, or a weight that is not finite or all 0.
    """
    if not is_whole(bits, 2, 16):
        raise InvalidInput(f"bits={bits!r} of integers: give a whole number from 2 to 16")
    exact = weight.detach().double()
    largest = float(exact.abs().amax()) if exact.numel() else 0.0
    if not (0 < largest < float("inf")):
        raise InvalidInput("integers of a weight with entries that are NaN or infinite, or that is all 0")
    step = largest / (2 ** (bits - 1) - 1)
    return torch.round(exact / step).to(torch.int32), step
