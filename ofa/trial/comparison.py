"""How far two outputs are apart, and how far rounding alone may take them."""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor

NOT_FINITE = "the narrow output is not finite"
_ROUNDINGS = 1000  # that may add up, in the coarsest type of a run
_LEAST, _MOST = 1e-9, 0.1


def tolerance(epsilon: float) -> float:
    """Returns the relative difference that rounding may make in types as coarse as `epsilon`."""
    return min(_MOST, max(_LEAST, _ROUNDINGS * epsilon))


def difference(narrow: Tensor, reference: Tensor, allowed: float, *, finite: bool, whose: str) -> str | None:
    """Returns why a tensor of a view's output is not that of the reference, or None.

    Args:
        narrow: of the view. reference: of the full model.
        allowed: relative difference that rounding may make. finite: whether the full model's output was.
        whose: output the reference is, such as "the zeroed model's".
    """
    if narrow.shape != reference.shape:
        return f"the output changes shape from {tuple(reference.shape)} to {tuple(narrow.shape)}"
    if finite and not bool(torch.isfinite(narrow).all()):
        return NOT_FINITE
    distance = apart(narrow, reference)
    return f"the narrow output differs from {whose} by {distance:.1e}" if distance > allowed else None


def apart(output: Tensor, reference: Tensor) -> float:
    """Returns the largest difference of tensors of one shape, relative to the largest entry or 1; inf for NaN."""
    if not output.numel():
        return 0.0
    if not (output.is_floating_point() or output.is_complex()):
        return 0.0 if torch.equal(output, reference) else inf
    same = (output == reference) | (torch.isnan(output) & torch.isnan(reference))
    differences = torch.where(same, 0, (output - reference).abs())
    finite = reference.abs()
    finite = finite[torch.isfinite(finite)]
    scale = max(1.0, float(finite.max()) if finite.numel() else 0.0)
    largest = float(differences.max()) / scale
    return largest if largest == largest else inf
