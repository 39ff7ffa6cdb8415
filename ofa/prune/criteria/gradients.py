"""Gradients of the loss, taken without leaving a trace in the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from ofa.errors import InvalidInput
from ofa.prune.context import PruneContext
from ofa.prune.layers import undisturbed


@contextmanager
def differentiable(context: PruneContext) -> Iterator[None]:
    """Lets the context's weights be differentiated by: eval mode, autograd on, also for weights that are frozen.

    Afterwards the model is as it was.
    """
    frozen = [weight for weight in context.weights.values() if not weight.requires_grad]
    with undisturbed(context.model), torch.enable_grad():
        for weight in frozen:
            weight.requires_grad_(True)
        try:
            yield
        finally:
            for weight in frozen:
                weight.requires_grad_(False)


def batch_gradient(
    context: PruneContext, images: Tensor, labels: Tensor, *, temperature: float = 1.0, create_graph: bool = False
) -> dict[str, Tensor]:
    """Returns the gradient of the loss on one batch by name of each weight; zeros where the loss does not depend.

    The model's outputs are divided by `temperature`. To be called within `differentiable`; `.grad` is not touched.
    """
    loss = context.loss(context.model(images) / temperature, labels)
    return _grad(loss, context, create_graph)


def mean_gradient(
    context: PruneContext, batches: Sequence[tuple[Tensor, Tensor]], *, temperature: float = 1.0
) -> dict[str, Tensor]:
    """Returns the gradient of the mean loss over all images; the loss of a batch is a mean over its images."""
    total = sum(len(images) for images, _ in batches)
    mean = {name: torch.zeros_like(weight) for name, weight in context.weights.items()}
    with differentiable(context):
        for images, labels in batches:
            found = batch_gradient(context, images, labels, temperature=temperature)
            for name, gradient in found.items():
                mean[name].add_(gradient, alpha=len(images) / total)
    return mean


def hessian_product(
    context: PruneContext,
    batches: Sequence[tuple[Tensor, Tensor]],
    direction: Mapping[str, Tensor],
    *,
    temperature: float = 1.0,
) -> dict[str, Tensor]:
    """Returns H v, by name of each weight: the Hessian of the mean loss over all images times `direction`."""
    total = sum(len(images) for images, _ in batches)
    product = {name: torch.zeros_like(weight) for name, weight in context.weights.items()}
    with differentiable(context):
        for images, labels in batches:
            found = batch_gradient(context, images, labels, temperature=temperature, create_graph=True)
            along = torch.stack([(found[name] * vector).sum() for name, vector in direction.items()]).sum()
            if not along.requires_grad:  # a loss that is linear in the weights
                continue
            for name, second in _grad(along, context, create_graph=False).items():
                product[name].add_(second, alpha=len(images) / total)
    return product


def _grad(value: Tensor, context: PruneContext, create_graph: bool) -> dict[str, Tensor]:
    found = torch.autograd.grad(
        value, list(context.weights.values()), create_graph=create_graph, allow_unused=True, materialize_grads=True
    )
    return dict(zip(context.weights, found, strict=True))


def finite(criterion: str, scores: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns `scores` as they are.

    Raises:
        InvalidInput: one is NaN or infinite; the weight is named.
    """
    for name, score in scores.items():
        if not bool(torch.isfinite(score).all()):
            raise InvalidInput(
                f"{criterion} gave {name} scores that are NaN or infinite; check the loss, the images and the weights"
            )
    return scores
