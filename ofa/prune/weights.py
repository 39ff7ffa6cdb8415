"""Which parameters may be pruned, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput, nearest
from ofa.inputs import Example
from ofa.plain_network import check_plain_weights, computed_layers
from ofa.prune.roles import roles


def prunable_weights(
    model: nn.Module, keep: Sequence[str] = (), include: Sequence[str] = (), example_input: Example | None = None
) -> dict[str, nn.Parameter]:
    """Returns the parameters that may be masked, by name: trainable weights of products.

    Embeddings, positions, class tokens (see `ofa.prune.roles`), biases and norms stay whole, save those of `include`. A
    tensor that is embedding and output layer in one is an embedding: a zero in it would take from every token.

    Args:
        model: any module.
        keep: globs of layers or parameters that stay as they are, such as "classifier" or "stages.0.*".
        include: globs of layers or parameters that are pruned whatever their role; `keep` comes before it.
        example_input: tells weights that are bare parameters from positions; see `roles`.

    Raises:
        InvalidInput: a pattern matches nothing, nothing is left, or a layer that is not kept computes its weight from
            other parameters, as weight_norm does.
    """
    computed = computed_layers(model)
    named_by_keep = {path for path in computed.values() if any(matches(f"{path}.weight", pattern) for pattern in keep)}
    check_plain_weights(model, "pruning", frozenset(computed.values()) - named_by_keep)
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad and name not in computed}
    whole = roles(model, example_input)
    candidates = {
        name: parameter
        for name, parameter in trainable.items()
        if (parameter.dim() >= 2 and name not in whole) or any(matches(name, pattern) for pattern in include)
    }
    for pattern in include:
        if not any(matches(name, pattern) for name in trainable):
            raise InvalidInput(f"include={pattern!r} matches no trainable parameter; {nearest(pattern, trainable)}")
    for pattern in keep:
        if not any(matches(name, pattern) for name in [*trainable, *(f"{path}.weight" for path in computed.values())]):
            raise InvalidInput(
                f"keep={pattern!r} matches no weight that could be pruned; {nearest(pattern, candidates)}"
            )
    left = {name: weight for name, weight in candidates.items() if not any(matches(name, pattern) for pattern in keep)}
    if not left:
        raise InvalidInput(f"{type(model).__name__} has nothing to prune: {_why_nothing(model, candidates, whole)}")
    return left


def _why_nothing(model: nn.Module, candidates: Mapping[str, Tensor], whole: Mapping[str, str]) -> str:
    if candidates:
        return "keep= leaves nothing"
    if any(p.dim() >= 2 and not p.requires_grad for p in model.parameters()):
        return "its weights do not require gradients"
    if whole:
        name, role = next(iter(whole.items()))
        return f"no weight of a product, but {name} ({role}): name it in include= to prune it all the same"
    return "no weight of 2 or more dimensions"


def matches(weight: str, pattern: str) -> bool:
    """Returns whether a glob names a weight ("conv1.weight") or the layer that holds it ("conv1")."""
    return fnmatchcase(weight, pattern) or fnmatchcase(weight.rpartition(".")[0], pattern)


def full_masks(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns masks that keep everything."""
    return {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}
