"""Reconstruction: what is left of a pruned network makes up for what is gone, by least squares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from ofa.prune.reconstruction.layerwise import rewrite_
from ofa.prune.reconstruction.least_squares import refitted
from ofa.prune.reconstruction.moments import Moments
from ofa.prune.reconstruction.products import Layout
from ofa.prune.weights import prunable_weights
from ofa.task import Task, as_batch


def reconstruct_(
    model: nn.Module,
    reference: nn.Module,
    batches: Iterable[Any],
    masks: Mapping[str, Tensor],
    *,
    damping: float = 1e-3,
    task: Task | None = None,
) -> None:
    """Refits the weights of a pruned model in place, layer by layer, so that each gives the reference's outputs back.

    Of a model that lost channels, each layer that reads them gets the weights on the remaining ones whose outputs are
    nearest to those of the whole network; of one that lost single weights, the rest of each row is solved for.
    Inputs are those of the model as refitted so far. What the masks remove stays zero.

    Args:
        model: the masked network, of the reference's shapes, such as `pruner.model`.
        reference: the network before pruning: the same class, its weights whole.
        batches: inputs, or batches with targets, which are not used; some hundred examples.
        masks: bool, True is kept, by name, such as `pruner.masks`.
        damping: how far weights are held to the reference's, as a fraction of the mean squared input; above 0.
        task: how the models are called; None: with a batch's inputs.

    Raises:
        InvalidInput: see `rewrite_`.
    Source: He et al. 2017, 1707.06168, equation 4; He et al. 2018, 1802.03494 (AMC), section 3.
    """
    held = [as_batch(batch) for batch in batches]
    example = held[0].rows(0, 1).inputs if held else None
    weights = {name: model.get_parameter(name) for name in prunable_weights(reference, example_input=example)}

    def change(name: str, matrices: Tensor, layout: Layout, moments: Moments) -> Tensor:
        whole = layout.matrices(reference.get_parameter(name).detach().double()).reshape(matrices.shape)
        stays = matrices != 0
        if name in masks:
            stays = layout.matrices(masks[name]).reshape(matrices.shape)
        live = moments.gram.diagonal(dim1=1, dim2=2) > 0
        return refitted(whole, stays & live[:, None, :], moments, damping)

    rewrite_(model, weights, held, change, reference=reference, task=task)
