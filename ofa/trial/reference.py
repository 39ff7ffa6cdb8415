"""The reference of a comparison: the full model's output as if the removed units were not there.

Their weights are zero, and means, norms and softmax run over the units that are kept alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ofa.computed_weights import change_computed, computed_weights
from ofa.inputs import Inputs
from ofa.structure.coupling import Group
from ofa.structure.passing import LeftOut, skipped
from ofa.structure.structure import first_names
from ofa.structure.trace import Source
from ofa.structure.tracing import in_mode
from ofa.trial.kept import KeptOnly
from ofa.trial.weights import Weights
from ofa.views.plan import Slice
from ofa.views.views import Views


def group_labels(groups: Sequence[Group], sources: Mapping[str, Source]) -> list[Tensor]:
    """Returns the labels of each group, (units, labels of a unit)."""
    return [
        torch.cat(
            [
                torch.from_numpy(member.index) + offset
                for member in group.members
                if (offset := sources[member.source].offsets[member.dim]) is not None
            ],
            dim=1,
        )
        for group in groups
    ]


def removed_labels(labels: Sequence[Tensor], units: Sequence[int]) -> Tensor:
    """Returns by label (bool) whether its unit is removed when group i, of these labels, keeps `units[i]` units."""
    highest = max((int(of_group.max()) for of_group in labels), default=0)
    removed = torch.zeros(highest + 1, dtype=torch.bool)
    for of_group, count in zip(labels, units, strict=True):
        removed[of_group[count:].reshape(-1)] = True
    return removed


def reference_output(
    model: nn.Module,
    example: Inputs,
    views: Views,
    units: Sequence[int],
    kernels: Mapping[str, int],
    dropped: Mapping[str, LeftOut],
    mode: KeptOnly,
    weights: Weights,
    training: bool = False,
) -> Any:
    """Returns the full model's output without the removed units, the rims of cropped kernels and dropped blocks.

    The weights that are zero for this are set again afterwards, which needs no copy of them.

    Args:
        model: a private randomized copy. example: its input. views: how its tensors are cut.
        units: how many units each group keeps. kernels: kernel sizes by path. dropped: blocks to skip by path.
        mode: the mode that leaves removed units out of reductions. weights: what the parameters of the model are.
        training: whether to run in train mode.
    """
    cuts = {
        name: views.slice(name, units, kernels.get(name.rpartition(".")[0])) for name, _ in model.named_parameters()
    }
    cut = [(name, parameter) for name, parameter in model.named_parameters() if not cuts[name].is_whole]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()] if training else []
    with torch.no_grad():
        try:
            for name, parameter in cut:
                _zero_removed_(parameter, cuts[name])
            with (
                skipped(model, dropped),
                mode.watching(model),
                _computed_without(model, cuts),
                in_mode(model, training),
                mode,
            ):
                return example.call_on_copy(model)
        finally:
            for name, parameter in cut:
                weights.fill_(name, parameter)
            for buffer, before in buffers:
                buffer.copy_(before)


@contextmanager
def _computed_without(model: nn.Module, cuts: Mapping[str, Slice]) -> Iterator[None]:
    """Removes from weights that layers compute what is removed from the parameters of their shape.

    Zeros there need not give zeros: a row of zeros has no direction.
    """
    names = first_names(model)
    handles = []
    for path, layer in model.named_modules():
        for weight in computed_weights(layer):
            if weight.original is None:
                continue
            cut = cuts[names[f"{path}.{weight.original}" if path else weight.original]]
            handles.append(change_computed(layer, weight, partial(_without, cut)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _without(cut: Slice, weight: Tensor) -> Tensor:
    for dim, positions in _removed(cut, weight.shape):
        weight = weight.index_fill(dim, positions, 0)
    return weight


def _removed(cut: Slice, shape: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
    """Returns the positions that a slice cuts off, by dimension."""
    for dim, start, length in cut.narrows:
        whole = torch.arange(shape[dim])
        yield dim, whole[(whole < start) | (whole >= start + length)]
    for dim, positions in cut.gathers:
        gone = torch.ones(shape[dim], dtype=torch.bool)
        gone[positions] = False
        yield dim, gone.nonzero().squeeze(1)


def _zero_removed_(parameter: Tensor, cut: Slice) -> None:
    """Sets to zero what a slice cuts off."""
    for dim, start, length in cut.narrows:
        parameter.narrow(dim, 0, start).zero_()
        parameter.narrow(dim, start + length, parameter.shape[dim] - start - length).zero_()
    for dim, positions in _removed(replace(cut, narrows=()), parameter.shape):
        parameter.index_fill_(dim, positions, 0)
