"""Which parameters may be pruned, and where they lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput, nearest
from ofa.prune.layers import NORMS


def prunable_weights(model: nn.Module, keep: Sequence[str] = ()) -> dict[str, nn.Parameter]:
    """Returns the parameters that masks may lie on, by name: trainable, of 2 or more dimensions, of no norm layer.

    `keep` are globs of layers or weights that stay as they are, such as "classifier" or "stages.0.*".

    Raises:
        InvalidInput: a pattern matches nothing, or nothing is left.
    """
    found = {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.dim() >= 2
        and parameter.requires_grad
        and not isinstance(model.get_submodule(name.rpartition(".")[0]), NORMS)
    }
    for pattern in keep:
        if not any(matches(name, pattern) for name in found):
            raise InvalidInput(f"keep={pattern!r} matches no weight that could be pruned; {nearest(pattern, found)}")
    left = {name: weight for name, weight in found.items() if not any(matches(name, pattern) for pattern in keep)}
    if not left:
        frozen = any(p.dim() >= 2 and not p.requires_grad for p in model.parameters())
        why = "its weights do not require gradients" if frozen and not found else "no weight of 2 or more dimensions"
        why = "keep= leaves nothing" if found else why
        raise InvalidInput(f"{type(model).__name__} has nothing to prune: {why}")
    return left


def matches(weight: str, pattern: str) -> bool:
    """Returns whether a glob names a weight ("conv1.weight") or the layer that holds it ("conv1")."""
    return fnmatchcase(weight, pattern) or fnmatchcase(weight.rpartition(".")[0], pattern)


def full_masks(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns masks that keep everything."""
    return {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}
