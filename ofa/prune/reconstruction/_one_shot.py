"""One shot: a trained network made sparse with some data and no training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.prune.allocation import lamp
from ofa.prune.context import Allocation, AllocationContext
from ofa.prune.granularity import weight
from ofa.prune.reconstruction.layerwise import rewrite_
from ofa.prune.reconstruction.moments import Moments
from ofa.prune.reconstruction.products import Layout
from ofa.prune.reconstruction.selecting import Method, Problem, obs
from ofa.prune.weights import full_masks, prunable_weights
from ofa.task import Task, as_batch


def one_shot(
    model: nn.Module,
    batches: Iterable[Any],
    sparsity: float,
    *,
    method: Method = obs,
    allocation: Allocation = lamp,
    pattern: tuple[int, int] | None = None,
    weights: Mapping[str, nn.Parameter] | None = None,
    task: Task | None = None,
) -> dict[str, Tensor]:
    """Returns masks (bool, True is kept, by name) after pruning a model in place, layer by layer, without training.

        masks = one_shot(model, batches, 0.8)                              # optimal brain surgery
        masks = one_shot(model, batches, 0.5, method=wanda, allocation=per_layer)
        masks = one_shot(model, batches, 0.5, pattern=(2, 4))

    Each layer is judged by what it multiplies in the network whose earlier layers are pruned. A pruner goes on from
    there with `pruner.set_masks(masks)`. Some hundred examples do; they need no labels.

    Args:
        model: any module: linear layers, convolutions, attention, and products of bare parameters.
        batches: inputs, or batches with targets, which are not used; held in memory.
        sparsity: the fraction of all weights that goes; with a pattern, 1 - n / m.
        method: `obs`, whose remaining weights make up for the removed ones, or `wanda`, or one of your own.
        allocation: how many each layer keeps, by magnitude.
        pattern: (n, m): n of every m consecutive inputs of a row stay; other weights than multiples of m stay whole.
        weights: those to prune, by name; None: all that may be (see `prunable_weights`).
        task: how the model is called; None: with a batch's inputs.

    Raises:
        InvalidInput: a sparsity outside 0 to 1 or that is not the pattern's, or see `rewrite_`.
    Source: Frantar and Alistarh 2023, 2301.00774; Lee et al. 2021, 2010.07611 (LAMP).
    """
    held = [as_batch(batch) for batch in batches]
    if not held:
        raise InvalidInput("one_shot measures on data, but batches gave none")
    if weights is None:
        weights = prunable_weights(model, example_input=held[0].rows(0, 1).inputs)
    keep = _counts(model, weights, sparsity, allocation) if pattern is None else {}
    if pattern is not None:
        weights = _divisible(model, weights, pattern, sparsity)
    masks = full_masks(weights)

    def change(name: str, matrices: Tensor, layout: Layout, moments: Moments) -> Tensor:
        order = _order(layout, weights[name], pattern)
        ordered = Moments(
            moments.count, moments.gram[:, order][:, :, order], moments.cross[:, order][:, :, order],
            moments.total[:, order], moments.reference_total[:, order],
        )  # fmt: skip
        new, mask = method(Problem(matrices[..., order], ordered, keep.get(name, 0), pattern))
        back = torch.argsort(order)
        whole = mask[..., back].reshape(layout.matrices(weights[name]).shape)
        masks[name] = layout.weight(whole, weights[name].shape).contiguous()
        return new[..., back]

    rewrite_(model, weights, held, change, task=task)
    return masks


def _counts(
    model: nn.Module, weights: Mapping[str, nn.Parameter], sparsity: float, allocation: Allocation
) -> dict[str, int]:
    """How many weights each layer keeps, by name."""
    granularity = weight(model, weights)
    sizes = {name: parameter.detach().abs() for name, parameter in weights.items()}
    scores = granularity.gather(sizes, full_masks(weights))
    counts = allocation(AllocationContext(granularity.pools, scores, sparsity, 1.0, granularity.cost))
    return dict(zip(weights, counts, strict=True))


def _divisible(
    model: nn.Module, weights: Mapping[str, nn.Parameter], pattern: tuple[int, int], sparsity: float
) -> dict[str, nn.Parameter]:
    n, m = pattern
    if not 0 < n < m:
        raise InvalidInput(f"pattern={pattern!r}: keep at least 1 and fewer than all, such as (2, 4)")
    if abs(sparsity - (1 - n / m)) > 1e-9:
        raise InvalidInput(f"sparsity={sparsity!r} is not that of {n} of {m} weights: give {1 - n / m:.4g}")
    fitting = {name: parameter for name, parameter in weights.items() if _fits(model, name, m)}
    if not fitting:
        inputs = sorted({parameter.shape[1] for parameter in weights.values()})
        raise InvalidInput(f"pattern={pattern!r}: no weight has a multiple of {m} inputs (they have {inputs})")
    return fitting


def _fits(model: nn.Module, name: str, m: int) -> bool:
    """Whether m divides the inputs of a weight: dimension 1, or either of bare parameters, which may be stored so."""
    module, parameter = model.get_submodule(name.rpartition(".")[0]), model.get_parameter(name)
    if isinstance(module, nn.modules.conv._ConvTransposeNd) or parameter.dim() < 2:
        return False
    known = isinstance(module, (nn.Linear, nn.modules.conv._ConvNd, nn.MultiheadAttention))
    return parameter.shape[1] % m == 0 and (known or parameter.shape[0] % m == 0)


def _order(layout: Layout, parameter: Tensor, pattern: tuple[int, int] | None) -> Tensor:
    """The order of a matrix's columns in which those that a pattern groups, consecutive inputs, come together."""
    columns = torch.arange(layout.matrices(parameter).shape[-1], device=parameter.device)
    if pattern is None or parameter.dim() < 3:
        return columns
    return columns.reshape(-1, parameter[0, 0].numel()).t().reshape(-1)
