"""The largest singular value by which spectral normalization divides a weight, estimated anew.

The estimate is kept as two vectors beside the weight (buffers `_u`, `_v`, or `weight_u`, `weight_v` of the older hook).
For a slice of the weight, slices of them are only where the estimate begins.

Source: Miyato et al. 2018 (1802.05957), section 2.1, the power iteration.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm

from ofa.computed_weights import computed_weights

SETTLED = 15  # iterations from any start; as many as torch takes where it sets up the norm


def iterate_(net: nn.Module, iterations: int = SETTLED) -> None:
    """Runs power iterations for every spectral norm of a network, in place, as its forwards in train mode do."""
    for layer in net.modules():
        iterate_layer_(layer, iterations)


def iterate_layer_(layer: nn.Module, iterations: int = SETTLED) -> None:
    """Runs power iterations for the spectral norms of one layer, not of those inside it."""
    with torch.no_grad():
        for matrix, left, right, eps in _estimates(layer):
            for _ in range(iterations):
                right.copy_(nn.functional.normalize(torch.mv(matrix.t(), left), dim=0, eps=eps))
                left.copy_(nn.functional.normalize(torch.mv(matrix, right), dim=0, eps=eps))


def has_spectral_norm(layer: nn.Module) -> bool:
    """Whether a layer itself has a spectral norm, not one inside it."""
    return bool(_estimates(layer))


def _estimates(layer: nn.Module) -> list[tuple[Tensor, Tensor, Tensor, float]]:
    """The matrix of each weight with a spectral norm, its left and right singular vectors, and the least norm."""
    estimates = []
    for weight in computed_weights(layer):
        norm: Any = weight.hook
        if norm is None and weight.original is not None:
            norm = layer.get_submodule(f"parametrizations.{weight.name}.0")
            if isinstance(norm, _SpectralNorm) and hasattr(norm, "_u"):
                original = layer.get_submodule(f"parametrizations.{weight.name}").original
                assert isinstance(original, Tensor)
                estimates.append((_matrix(original, norm.dim), norm._u, norm._v, norm.eps))
        elif weight.method == "spectral_norm":
            left, right = (getattr(layer, f"{weight.name}_{side}") for side in "uv")
            estimates.append((_matrix(getattr(layer, f"{weight.name}_orig"), norm.dim), left, right, norm.eps))
    return estimates


def _matrix(weight: Tensor, dim: int) -> Tensor:
    return weight.detach().movedim(dim, 0).flatten(1)
