"""Which parameters may be pruned, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput, nearest
from ofa.norms import NORMS
from ofa.plain_network import check_plain_weights, computed_layers


def prunable_weights(model: nn.Module, keep: Sequence[str] = ()) -> dict[str, nn.Parameter]:
    """Returns the parameters that may be masked, by name: trainable, 2 or more dimensions, not of a norm layer.

    `keep` are globs of layers or weights that stay as they are, such as "classifier" or "stages.0.*".

    Raises:
        InvalidInput: a pattern matches nothing, nothing is left, or a layer that is not kept computes its weight from
            other parameters, as weight_norm does.
    """
    computed = computed_layers(model)
    named_by_keep = {path for path in computed.values() if any(matches(f"{path}.weight", pattern) for pattern in keep)}
    check_plain_weights(model, "pruning", frozenset(computed.values()) - named_by_keep)
    candidates = {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.dim() >= 2
        and name not in computed
        and parameter.requires_grad
        and not isinstance(model.get_submodule(name.rpartition(".")[0]), NORMS)
    }
    for pattern in keep:
        if not any(matches(name, pattern) for name in [*candidates, *(f"{path}.weight" for path in computed.values())]):
            raise InvalidInput(
                f"keep={pattern!r} matches no weight that could be pruned; {nearest(pattern, candidates)}"
            )
    left = {name: weight for name, weight in candidates.items() if not any(matches(name, pattern) for pattern in keep)}
    if not left:
        frozen = any(p.dim() >= 2 and not p.requires_grad for p in model.parameters())
        why = (
            "its weights do not require gradients" if frozen and not candidates else "no weight of 2 or more dimensions"
        )
        why = "keep= leaves nothing" if candidates else why
        raise InvalidInput(f"{type(model).__name__} has nothing to prune: {why}")
    return left


def matches(weight: str, pattern: str) -> bool:
    """Returns whether a glob names a weight ("conv1.weight") or the layer that holds it ("conv1")."""
    return fnmatchcase(weight, pattern) or fnmatchcase(weight.rpartition(".")[0], pattern)


def full_masks(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns masks that keep everything."""
    return {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}
