"""Gradients of the loss, without side effects on the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ofa.errors import InvalidInput
from ofa.inputs import Inputs
from ofa.prune.context import PruneContext
from ofa.prune.layers import undisturbed


@contextmanager
def differentiable(context: PruneContext, others: Iterable[nn.Parameter] = ()) -> Iterator[None]:
    """Lets the context's weights and `others` be differentiated by: eval mode, autograd on, also for frozen ones.

    Afterwards the model is unchanged.
    """
    frozen = [weight for weight in [*context.weights.values(), *others] if not weight.requires_grad]
    with undisturbed(context.model), torch.enable_grad():
        for weight in frozen:
            weight.requires_grad_(True)
        try:
            yield
        finally:
            for weight in frozen:
                weight.requires_grad_(False)


def batch_gradient(
    context: PruneContext, inputs: Inputs, labels: Tensor, *, temperature: float = 1.0, create_graph: bool = False
) -> dict[str, Tensor]:
    """Returns the gradient of the loss on one batch by name of each weight; zeros where the loss does not depend.

    The model's outputs are divided by `temperature`. To be called within `differentiable`;
    `.grad` is not touched.
    """
    return gradients_of(context.batch_loss(inputs, labels, temperature), context.weights, create_graph)


def mean_gradient(
    context: PruneContext, batches: Sequence[tuple[Inputs, Tensor]], *, temperature: float = 1.0
) -> dict[str, Tensor]:
    """Returns the gradient of the mean loss over all images; the loss of a batch is a mean over its images."""
    total = sum(inputs.batch for inputs, _ in batches)
    mean = {name: torch.zeros_like(weight) for name, weight in context.weights.items()}
    with differentiable(context):
        for inputs, labels in batches:
            gradients = batch_gradient(context, inputs, labels, temperature=temperature)
            for name, gradient in gradients.items():
                mean[name].add_(gradient, alpha=inputs.batch / total)
    return mean


def hessian_product(
    context: PruneContext,
    batches: Sequence[tuple[Inputs, Tensor]],
    direction: Mapping[str, Tensor],
    *,
    temperature: float = 1.0,
) -> dict[str, Tensor]:
    """Returns H v, by name of each weight: the Hessian of the mean loss over all images times `direction`."""
    total = sum(inputs.batch for inputs, _ in batches)
    product = {name: torch.zeros_like(weight) for name, weight in context.weights.items()}
    with differentiable(context), sdpa_kernel(SDPBackend.MATH):  # fused kernels have no second derivative
        for inputs, labels in batches:
            gradients = batch_gradient(context, inputs, labels, temperature=temperature, create_graph=True)
            along = torch.stack([(gradients[name] * vector).sum() for name, vector in direction.items()]).sum()
            if not along.requires_grad:  # a loss that is linear in the weights
                continue
            for name, second in gradients_of(along, context.weights).items():
                product[name].add_(second, alpha=inputs.batch / total)
    return product


def gradients_of(
    value: Tensor, parameters: Mapping[str, nn.Parameter], create_graph: bool = False
) -> dict[str, Tensor]:
    """Returns the derivatives of a scalar by name of each parameter; zeros by those that it does not depend on."""
    gradients = torch.autograd.grad(
        value, list(parameters.values()), create_graph=create_graph, allow_unused=True, materialize_grads=True
    )
    return dict(zip(parameters, gradients, strict=True))


def finite(criterion: str, scores: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns `scores` as they are.

    Raises:
        InvalidInput: one is NaN or infinite; the weight is named.
    """
    for name, score in scores.items():
        if not bool(torch.isfinite(score).all()):
            raise InvalidInput(
                f"{criterion} gave {name} scores that are NaN or infinite; check the loss, the inputs and the weights"
            )
    return scores
