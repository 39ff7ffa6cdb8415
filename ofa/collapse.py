"""Signs that a network has collapsed, one line per sign; none for a healthy network.

They are warnings, not errors: nothing is refused, but a ruined network should not go unnoticed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

LEAST_DENSITY = 0.001  # of a layer
_SAME = 1e-5  # spread of a logit over examples, as a fraction of the largest


def thin_layers(masks: Mapping[str, Tensor]) -> list[str]:
    """Returns one line per problem: weights that keep nothing, under 0.1 % of entries, or under one per output.

    Rows and columns that are removed whole, as by structured pruning, leave a smaller dense layer: its entries are
    not compared with the outputs that are gone.

    Args:
        masks: bool, True is kept, of weights of 2 or more dimensions (outputs first), by name.
    """
    empty, rare, thin = [], [], []
    for name, mask in masks.items():
        live, outputs = int(mask.count_nonzero()), mask.shape[0]
        if live == 0:
            empty.append(f"{name} of {mask.numel():,}")
        elif live < LEAST_DENSITY * mask.numel():
            rare.append(f"{name} {live:,} of {mask.numel():,}")
        elif live < outputs and live < _dense_part(mask):
            thin.append(f"{name} {live:,} for {outputs:,} outputs")
    kinds = {
        "no weight, so nothing passes": empty,
        f"under {100 * LEAST_DENSITY:g} % of the weights": rare,
        "under one weight per output": thin,
    }
    return [
        f"{_count(len(layers), len(masks))} {problem}: {_shortened(layers)}"
        for problem, layers in kinds.items()
        if layers
    ]


def _count(some: int, masked: int) -> str:
    """How many of the layers that have a mask, with its verb."""
    if masked == 1:
        return "the pruned layer keeps"
    return f"{some} of {masked} pruned layers {'keeps' if some == 1 else 'keep'}"


def _shortened(names: Sequence[str], count: int = 3) -> str:
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def _dense_part(mask: Tensor) -> int:
    """How many entries the rows, columns and positions span that have anything left."""
    lengths = []
    for dim in range(mask.dim()):
        others = [other for other in range(mask.dim()) if other != dim]
        lengths.append(int(mask.any(dim=others).count_nonzero()) if others else int(mask.count_nonzero()))
    return math.prod(lengths)


def same_logits(logits: Tensor) -> list[str]:
    """Returns a line where logits (N, classes) of N different examples, 2 or more, do not vary."""
    if len(logits) < 2:
        return []
    spread = float((logits.amax(dim=0) - logits.amin(dim=0)).max())
    if spread > _SAME * max(float(logits.abs().max()), 1e-12):
        return []
    return [f"the outputs of {len(logits)} different examples are the same: the network ignores its input"]
