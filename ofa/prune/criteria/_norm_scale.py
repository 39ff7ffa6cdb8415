"""Norm scale: a channel is worth the scale that its norm layer gives it (network slimming)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ofa.errors import InvalidInput
from ofa.prune.context import PruneContext
from ofa.prune.criteria.filters import by_weight, filters
from ofa.prune.layers import Layer, find_layers


def norm_scale(context: PruneContext, layers: Sequence[Layer] | None = None) -> dict[str, Tensor]:
    """Returns |gamma| of the norm that a layer's output feeds, for each output channel, (rows,), float64.

    `layers` says which norm follows which weight; without it, the model is run on the context's first image.
    A layer that feeds no norm with a scale is scored by its rows' L2 norms, scaled so that their mean is the mean
    |gamma| of all scales: it competes as if its own norm were a common one. Train with an L1 penalty on the
    scales first (`NormL1`), or they carry little information.

    Raises:
        InvalidInput: no weight feeds a norm with a scale, or neither layers nor batches were given.
    Source: Liu et al. 2017, 1708.06519, section 3.
    """
    if layers is None:
        layers = find_layers(context.model, context.labeled("norm_scale")[0][0].rows(0, 1))
    rows = {name: filters(context, name, weight.detach()).double() for name, weight in context.weights.items()}
    scales = {}
    for layer in layers:
        scale = None if layer.norm is None else getattr(context.model.get_submodule(layer.norm), "weight", None)
        if isinstance(scale, Tensor) and layer.weight in rows and scale.shape == (len(rows[layer.weight]),):
            scales[layer.weight] = scale.detach().abs().double()
    if not scales:
        raise InvalidInput(
            f"norm_scale: no weight to prune of {type(context.model).__name__} feeds a norm with a scale; "
            f"use a model with batch norm, or magnitude"
        )
    common = torch.cat(list(scales.values())).mean()
    for name, matrix in rows.items():
        if name not in scales:
            sizes = matrix.norm(dim=1)
            scales[name] = sizes * (common / sizes.mean()) if bool(sizes.any()) else sizes
    return {name: by_weight(context, name, scales[name]) for name in rows}
