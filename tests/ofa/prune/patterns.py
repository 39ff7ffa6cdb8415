"""Patterns of masks, as tests check them."""

from __future__ import annotations

from torch import Tensor


def keeps_pattern(mask: Tensor, n: int, m: int) -> bool:
    """Returns whether at most `n` of every `m` consecutive inputs of a mask (rows, inputs, ...) are kept."""
    return bool((mask.movedim(1, -1).reshape(-1, m).sum(dim=1) <= n).all())
