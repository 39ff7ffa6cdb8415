"""Importance of units, measured on data: which of them a narrow subnet should keep.

A measure is a function of (supernet, batches, task) that returns by the name of each group one score for each of its
units, more being more important; `ofa.sorting.sort_units_` then puts the most important first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.inputs import as_inputs
from ofa.modes import in_mode
from ofa.resolution import resized
from ofa.sorting import l1
from ofa.task import Batch, Task, as_batch

if TYPE_CHECKING:
    from ofa.structure.coupling import Group, Member
    from ofa.supernet import Supernet

Scores = dict[str, Tensor]
Measure = Callable[["Supernet", Iterable[Any], Task], Scores]


def weight(supernet: Supernet, batches: Iterable[Any] = (), task: Task | None = None) -> Scores:
    """Returns the mean magnitude of each unit's weights (see `ofa.sorting.l1`), by group, (units,); without data."""
    return {group.name: l1(supernet, group) for group in supernet.groups}


def activation(supernet: Supernet, batches: Iterable[Any], task: Task) -> Scores:
    """Returns the mean magnitude of each unit's activation, by group, (units,), of the largest subnet in eval mode.

    Measured where linear layers, convolutions and embeddings read a unit; where none reads it (queries and keys), where
    they write it. Each layer's numbers are divided by their mean, so that none outweighs the rest. A group that no such
    layer touches gets its weights' magnitudes.

    Raises:
        InvalidInput: no batches, or activations that are not finite.
    Source: Molchanov et al. 2017, 1611.06440, section 2.2 ("activation").
    """
    arch = supernet.space.largest
    view = supernet.subnet(arch)
    taps = list(_taps(view, supernet))
    by_module: dict[str, list[_Tap]] = {}
    for tap in taps:
        by_module.setdefault(tap.path, []).append(tap)
    for path, of_module in by_module.items():
        _watch(view.get_submodule(path), of_module)
    with in_mode(view, training=False), torch.no_grad():
        for batch in at_full_size(supernet, batches, "activation of units"):
            task.call(view, batch)
    scores = weight(supernet)
    for group in supernet.groups:
        seen = [tap for tap in taps if tap.group == group.name and tap.count]
        chosen = [tap for tap in seen if tap.reads] or seen
        if chosen:
            scores[group.name] = sum((tap.scores() for tap in chosen), torch.zeros(group.units, dtype=torch.float64))
    return _finite("activation", scores)


def taylor(supernet: Supernet, batches: Iterable[Any], task: Task, *, examples: int = 4) -> Scores:
    """Returns the squared change of the loss when a unit is removed, to first order, by group, (units,), float64.

    The loss is the task's, of the largest subnet in eval mode. For every weight that a unit touches, gradient times
    weight is summed over the unit's part (the derivative by a gate on the unit there), squared, added over these
    weights and averaged over batches of `examples`: over large ones the derivatives of a trained network cancel out.

    Raises:
        InvalidInput: no batches, or a gradient that is not finite.
    Source: Molchanov et al. 2019, 1906.10771, equation 8.
    """
    if examples < 1:
        raise InvalidInput(f"{examples=!r} of a gradient: at least 1")
    arch = supernet.space.largest
    sources = {member.source for group in supernet.groups for member in _matrices(supernet, group)}
    weights = {name: each for name, each in supernet.model.named_parameters() if name in sources}
    scores = {group.name: torch.zeros(group.units, dtype=torch.float64) for group in supernet.groups}
    frozen = [each for each in weights.values() if not each.requires_grad]
    count = 0
    try:
        for each in frozen:
            each.requires_grad_(True)
        view = supernet.subnet(arch)
        with in_mode(view, training=False), torch.enable_grad():
            for batch in at_full_size(supernet, batches, "taylor"):
                for start in range(0, batch.examples, examples):
                    part = batch.rows(start, min(start + examples, batch.examples))
                    loss = task.loss(task.call(view, part), part)
                    gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
                    _add_gates(supernet, scores, weights, dict(zip(weights, gradients, strict=True)))
                    count += 1
    finally:
        for each in frozen:
            each.requires_grad_(False)
    return _finite("taylor", {name: total / count for name, total in scores.items()})


def at_full_size(supernet: Supernet, batches: Iterable[Any], name: str) -> Iterator[Batch]:
    """Yields the batches on the supernet's device, at its largest resolution.

    Raises:
        InvalidInput: there are none; `name` says what would be measured on them.
    """
    device = next(supernet.model.parameters()).device
    empty = True
    for value in batches:
        batch = as_batch(value).to(device)
        inputs = batch.inputs if isinstance(batch.inputs, Tensor) else as_inputs(batch.inputs)
        empty = False
        yield batch._replace(inputs=resized(inputs, supernet.space.largest))
    if empty:
        raise InvalidInput(f"{name} is measured on batches, and there are none: give at least one")


def _add_gates(
    supernet: Supernet, scores: Scores, weights: Mapping[str, Tensor], gradients: Mapping[str, Tensor | None]
) -> None:
    """Adds the squared derivatives by a gate on each unit, in each weight."""
    products = {
        name: (weights[name].detach() * gradient).double().cpu()
        for name, gradient in gradients.items()
        if gradient is not None
    }
    for group in supernet.groups:
        for member in group.members:
            if member.source in products:
                product = products[member.source]
                others = [dim for dim in range(product.dim()) if dim != member.dim]
                along = product.sum(dim=others) if others else product
                scores[group.name] += along[torch.from_numpy(member.index)].sum(dim=1).square()


def _matrices(supernet: Supernet, group: Group) -> list[Member]:
    """The members that are weights: vectors (biases, norms) repeat what these say."""
    return [member for member in group.members if len(supernet.sources[member.source].shape) >= 2]


class _Tap:
    """Sums of |values| that pass one layer, along the channels that a group owns."""

    def __init__(self, path: str, group: str, index: Tensor, dim: int, reads: bool) -> None:
        self.path, self.group, self.index, self.dim, self.reads = path, group, index, dim, reads
        self.total: Tensor | None = None
        self.count = 0

    def add(self, values: Tensor) -> None:
        """Adds the activations of a batch; channels are dimension `dim`."""
        along = values.detach().abs().movedim(self.dim, 0).flatten(1)
        total = along.sum(dim=1, dtype=torch.float64).cpu()
        self.total = total if self.total is None else self.total + total
        self.count += along.shape[1]

    def scores(self) -> Tensor:
        """The mean of each unit, (units,), as a multiple of the mean over units."""
        assert self.total is not None
        units = (self.total / self.count)[self.index].mean(dim=1)
        return units / units.mean().clamp_min(torch.finfo(torch.float64).tiny)


def _taps(view: nn.Module, supernet: Supernet) -> Iterator[_Tap]:
    """Where each group can be measured: inputs and outputs of layers that hold its weights."""
    modules = dict(view.named_modules())
    for group in supernet.groups:
        for member in _matrices(supernet, group):
            for path in supernet.owners(member.source):
                module = modules.get(path)
                sides = None if module is None else _sides(module)
                name = member.source.rpartition(".")[2]
                if sides is None or name != "weight" or member.dim not in sides:
                    continue
                side, dim = sides[member.dim]
                yield _Tap(path, group.name, torch.from_numpy(member.index), dim, side == "input")


def _sides(module: nn.Module) -> dict[int, tuple[str, int]] | None:
    """By a dimension of the weight: whether it counts inputs or outputs, and the dimension that their channels have."""
    if isinstance(module, nn.Embedding):
        return {1: ("output", -1)}
    if isinstance(module, nn.Linear):
        return {0: ("output", -1), 1: ("input", -1)}
    if isinstance(module, nn.modules.conv._ConvTransposeNd):
        return {0: ("input", 1)} | ({1: ("output", 1)} if module.groups == 1 else {})
    if isinstance(module, nn.modules.conv._ConvNd):
        return {0: ("output", 1)} | ({1: ("input", 1)} if module.groups == 1 else {})
    if type(module).__name__ == "Conv1D" and hasattr(module, "nf"):  # a linear layer of transformers, transposed
        return {0: ("input", -1), 1: ("output", -1)}
    return None


def _watch(module: nn.Module, taps: list[_Tap]) -> None:
    """Makes a module of a view measure what passes it. Not by hooks: a view shares those with the supernet."""
    forward = module.forward

    def measured(values: Tensor, *args: Any, **kwargs: Any) -> Any:
        outputs = forward(values, *args, **kwargs)
        for tap in taps:
            tap.add(values if tap.reads else outputs)
        return outputs

    module.__dict__["forward"] = measured


def _finite(name: str, scores: Scores) -> Scores:
    for group, values in scores.items():
        if not bool(torch.isfinite(values).all()):
            raise InvalidInput(f"{name} of the units of {group} is not finite; check the weights and the data")
    return scores
