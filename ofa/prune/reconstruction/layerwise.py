"""Layer by layer: each weight rewritten from what it multiplies in the network whose earlier layers are done."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.inputs import as_inputs
from ofa.modes import op_by_op, recurrence_in_steps
from ofa.prune.layers import undisturbed
from ofa.prune.reconstruction.moments import Moments, moments_of, stacked
from ofa.prune.reconstruction.products import Layout, Product, Watch
from ofa.task import Batch, Task, as_batch

# Makes the new matrices (groups, rows, d) of a weight by its name, from the old ones, its layout and the moments of its
# inputs, which are centered where the weight's bias takes up what the means change by.
Change = Callable[[str, Tensor, Layout, Moments], Tensor]


class _Enough(Exception):
    """Ends a run of the model when the weight has been used as often as it is."""


def rewrite_(
    model: nn.Module,
    weights: Mapping[str, nn.Parameter],
    batches: Iterable[Any],
    change: Change,
    *,
    reference: nn.Module | None = None,
    task: Task | None = None,
) -> None:
    """Rewrites weights in place, in the order in which the model uses them, and the biases that are added to them.

    Each weight is given the moments of its inputs in `model` as rewritten so far, beside those in the reference. One
    weight's moments are in memory at a time. The model runs in eval mode; everything else in it stays as it was.

    Args:
        model: any module.
        weights: some of its parameters, by name.
        batches: what the inputs are measured on, labeled or not; held in memory.
        change: see `Change`.
        reference: whose outputs are to be kept; None: the model as it was, a copy of which is made.
        task: how the model is called; None: with a batch's inputs.

    Raises:
        InvalidInput: no batches, or a weight that multiplies nothing in a way that is known here.
    """
    device = next(model.parameters()).device
    held = [as_batch(batch).to(device) for batch in batches]
    if not held:
        raise InvalidInput("reconstruction measures on data, but batches gave none")
    reference = copy.deepcopy(model) if reference is None else reference
    with undisturbed(model), undisturbed(reference), torch.no_grad(), op_by_op(), recurrence_in_steps(model):
        uses = _uses(model, weights, held[0].rows(0, 1), task)
        for name, count in uses.items():
            measured = _measure(model, reference, name, held, count, task)
            _rewrite_one_(name, weights[name], reference.get_parameter(name), measured, change)


@dataclass(frozen=True)
class _Measured:
    """What the products of one weight showed: the moments of each part of its rows, and the biases added there."""

    layout: Layout
    parts: Mapping[tuple[int, int], Moments]
    biases: Mapping[tuple[int, int], tuple[nn.Parameter, int] | None]

    @property
    def has_biases(self) -> bool:
        return all(bias is not None for bias in self.biases.values())

    def matrices(self, weight: Tensor) -> Tensor:
        """The weight as matrices (groups, rows, d), a group for each that has inputs of its own, float64."""
        matrices = self.layout.matrices(weight.detach().double())
        return matrices.reshape(-1, self._height, matrices.shape[-1])

    @property
    def moments(self) -> Moments:
        """The moments by group."""
        ranges = sorted(self.parts)
        return stacked([self.parts[rows] for rows in ranges for _ in range((rows[1] - rows[0]) // self._height)])

    @property
    def _height(self) -> int:
        return math.gcd(*(end - start for start, end in self.parts))

    def add_to_biases_(self, lost: Tensor) -> None:
        """Adds (groups, rows) to the biases."""
        flat = lost.reshape(-1)
        for (start, end), shift in self.biases.items():
            if shift is not None:
                bias, offset = shift
                part = flat if len(self.biases) == 1 else flat[start:end]
                bias[offset : offset + len(part)] += part.to(bias.dtype)


def _rewrite_one_(
    name: str, parameter: nn.Parameter, reference: nn.Parameter, measured: _Measured, change: Change
) -> None:
    matrices, moments = measured.matrices(parameter), measured.moments
    new = change(name, matrices, measured.layout, moments.centered() if measured.has_biases else moments)
    if measured.has_biases:
        before = torch.einsum("grd,gd->gr", measured.matrices(reference), moments.reference_total)
        lost = (before - torch.einsum("grd,gd->gr", new, moments.total)) / moments.count[:, None]
        measured.add_to_biases_(lost * (matrices != 0).any(dim=-1))  # a row that was gone before stays so
    whole = measured.layout.matrices(parameter)
    parameter.copy_(measured.layout.weight(new.reshape(whole.shape), parameter.shape).to(parameter.dtype))


def _measure(
    model: nn.Module, reference: nn.Module, name: str, batches: Sequence[Batch], uses: int, task: Task | None
) -> _Measured:
    """Runs both models on the batches, one where they are the same, and sums what the weight multiplies in them."""
    parts: dict[tuple[int, int], Moments] = {}
    biases: dict[tuple[int, int], tuple[nn.Parameter, int] | None] = {}
    layout = Layout()
    for batch in batches:
        here = _products(model, name, batch, uses, task)
        there = here if reference is model else _products(reference, name, batch, uses, task)
        for product, other in zip(here, there, strict=True):
            moments = moments_of(product.inputs, None if product is other else other.inputs)
            parts[product.rows] = parts[product.rows] + moments if product.rows in parts else moments
            biases[product.rows], layout = product.bias, product.layout
    return _Measured(layout, parts, biases)


def _uses(model: nn.Module, weights: Mapping[str, nn.Parameter], batch: Batch, task: Task | None) -> dict[str, int]:
    """How often each weight is used in a run, in the order of the first use."""
    uses: dict[str, int] = {}
    rows: dict[str, set[tuple[int, int]]] = {}
    layouts: dict[str, set[Layout]] = {}

    def seen(product: Product) -> None:
        uses[product.name] = uses.get(product.name, 0) + 1
        rows.setdefault(product.name, set()).add(product.rows)
        layouts.setdefault(product.name, set()).add(product.layout)

    with Watch(weights, seen):
        _call(model, batch, task)
    for name, weight in weights.items():
        if name not in uses:
            raise InvalidInput(f"no product of {name} with activations was seen: leave it out of weights=")
        ranges = sorted(rows[name])
        ends = [0, *(end for _, end in ranges)]
        (layout,) = layouts[name] if len(layouts[name]) == 1 else (None,)
        height = 0 if layout is None else layout.matrices(weight).shape[1]
        if layout is None or [start for start, _ in ranges] != ends[:-1] or ends[-1] != height:
            raise InvalidInput(
                f"{name} is used in overlapping parts or in several ways: leave it out with keep={name!r}"
            )
    return uses


def _products(model: nn.Module, name: str, batch: Batch, uses: int, task: Task | None) -> list[Product]:
    products: list[Product] = []

    def seen(product: Product) -> None:
        products.append(product)
        if len(products) == uses:
            raise _Enough

    try:
        with Watch({name: model.get_parameter(name)}, seen, model.parameters()):
            _call(model, batch, task)
    except _Enough:
        pass
    return products


def _call(model: nn.Module, batch: Batch, task: Task | None) -> None:
    if task is None:
        as_inputs(batch.inputs).call_on_copy(model)
    else:
        task.call(model, batch)
