"""Gradients of a step: how those of its networks are put together, where plainly adding them up is not what is wanted.

    train(supernet, data, partial(combined, strategy=sandwich, combine=without_conflicts), settings)

Each network's gradient is held until the step ends: one copy of all weights for each network. The mean over those that
have a weight needs none: `ofa.train.by_use`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ofa._cost import cost
from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.task import Batch
from ofa.train.by_use import refuse_backward
from ofa.train.step import StepContext, Strategy

if TYPE_CHECKING:
    from ofa.supernet import Supernet

_Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, eq=False)
class StepGradients:
    """What the networks of a step want.

    Attributes:
        rows: (networks, entries of all trained weights); 0 where a weight is no part of a network.
        archs: of the networks, in the order in which they were trained: the largest first in a sandwich.
        supernet: that all of them are views of.
        rng: a function of (seed, step).
    """

    rows: Tensor
    archs: tuple[Arch, ...]
    supernet: Supernet
    rng: np.random.Generator

    def weighted(self, weights: Sequence[float]) -> Tensor:
        """Returns the sum of the gradients, each times its weight, (entries,)."""
        return self.rows.new_tensor(weights) @ self.rows


# The gradients of a step -> the one that the weights move by, (entries,).
Combine: TypeAlias = Callable[[StepGradients], Tensor]


def combined(supernet: Supernet, batch: Batch, context: StepContext, *, strategy: Strategy, combine: Combine) -> Tensor:
    """Returns the loss of a strategy's step after its backward passes, their gradients put together by `combine`.

    With `TrainSettings.accumulation` it is done for each micro-batch. Of several processes their gradients are added up
    first, one exchange for each network.

    Raises:
        InvalidInput: the strategy calls `context.backward`, which does not say which network a loss is of, and not
            `context.backward_of`; or processes draw different Archs.
    """
    group = context.group
    if not context.drawing.alone:
        raise InvalidInput(
            "gradients of a step are put together by network, and archs_per_rank='different' gives each process other "
            "networks: give archs_per_rank='same'"
        )
    held = [parameter.grad for parameter in supernet.parameters() if parameter.grad is not None]
    before = [gradient.clone() for gradient in held]
    rows: list[Tensor] = []
    archs: list[Arch] = []

    def collect(arch: Arch, loss: Tensor) -> None:
        torch._foreach_zero_(held)  # in place: views have slices of them
        context.backward(loss)
        rows.append(group.sum_(torch.cat([gradient.flatten() for gradient in held])))
        archs.append(arch)

    loss = strategy(supernet, batch, replace(context, backward=refuse_backward, collect=collect))
    total = combine(StepGradients(torch.stack(rows), tuple(archs), supernet, context.rng))
    parts = torch.split(total, [gradient.numel() for gradient in held])
    for gradient, part, earlier in zip(held, parts, before, strict=True):
        gradient.copy_(earlier + part.view_as(gradient) / group.count)  # which the step adds up again
    return loss


def total(gradients: StepGradients) -> Tensor:
    """Returns the sum, as without `combined`."""
    return gradients.rows.sum(dim=0)


def mean(gradients: StepGradients) -> Tensor:
    """Returns the mean over the networks: more networks a step are no longer steps."""
    return gradients.rows.mean(dim=0)


def by_macs(gradients: StepGradients, *, power: float = 0.5) -> Tensor:
    """Returns the sum with weights (MACs of a network)^power, which are 1 in the mean.

    A `power` above 0 is for the large networks, below 0 for the small ones.

    Raises:
        InvalidInput: `power` is not finite.
    """
    if not math.isfinite(power):
        raise InvalidInput(f"power={power!r} of the weights of networks must be finite, such as 0.5 or -0.5")
    macs = cost(gradients.supernet, gradients.archs)["macs"].astype(np.float64)
    shares = (macs / macs.max()) ** power
    return gradients.weighted((shares / shares.mean()).tolist())


def equal_norms(gradients: StepGradients) -> Tensor:
    """Returns the sum of the gradients scaled to one norm, the mean of their norms; no network drowns another."""
    norms = _norms(gradients)
    return gradients.weighted([norms.mean() / norm if norm > 0 else 0.0 for norm in norms])


def capped(gradients: StepGradients, *, times: float = 1.0) -> Tensor:
    """Returns the sum of the gradients, none of them longer than `times` the norm of the first network's.

    The first is the largest in a sandwich. `TrainSettings.gradient_clip` clips the sum instead.

    Raises:
        InvalidInput: `times` is not above 0.
    """
    if not times > 0:
        raise InvalidInput(f"times={times!r} the norm of the first network's gradient must be more than 0")
    norms = _norms(gradients)
    most = times * norms[0]
    return gradients.weighted([min(1.0, most / norm) if norm > 0 else 1.0 for norm in norms])


def without_conflicts(gradients: StepGradients) -> Tensor:
    """Returns the sum of the gradients, each without what it has against another one.

    Where two point apart (a negative dot product), each loses its part along the other, in random order of the others.
    Source: Yu et al. 2020 (PCGrad), 2001.06782, algorithm 1; here the tasks are the networks of a step.
    """
    products = _products(gradients)
    count = len(products)
    weights = np.zeros(count)
    for row in range(count):
        # What is left of a gradient is a sum of gradients: their products are all that is needed.
        left = np.eye(count)[row]
        for other in gradients.rng.permutation(count):
            along = left @ products[:, other]
            if other != row and along < 0:
                left[other] -= along / products[other, other]
        weights += left
    return gradients.weighted(weights.tolist())


def _products(gradients: StepGradients) -> _Numbers:
    """The dot products of all pairs, (networks, networks) float64."""
    products: _Numbers = (gradients.rows @ gradients.rows.T).double().cpu().numpy()
    return products


def _norms(gradients: StepGradients) -> _Numbers:
    norms: _Numbers = torch.linalg.vector_norm(gradients.rows, dim=1).double().cpu().numpy()
    return norms
