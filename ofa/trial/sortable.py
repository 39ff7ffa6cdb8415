"""Which groups' units are interchangeable, by running a random reordering."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ofa.inputs import Inputs, output_tensors
from ofa.structure.chance import NoChance
from ofa.structure.coupling import Group
from ofa.structure.operators import all_run
from ofa.structure.structure import Structure
from ofa.structure.trace import find_sources
from ofa.structure.tracing import in_mode
from ofa.trial.comparison import apart, tolerance
from ofa.trial.weights import Weights


def unsortable_groups(model: nn.Module, example: Inputs, structure: Structure, weights: Weights) -> frozenset[str]:
    """Returns the names of groups whose units cannot be reordered without changing the function.

    A unit of several coordinates may hold them in an order of its own (a channel shuffle does that), which the
    labels do not show; so a random reordering is run on a private randomized copy, whose `weights` are set again.
    """
    sources = find_sources(model)
    allowed = tolerance(structure.trace.epsilon)

    def output() -> list[Tensor]:
        with all_run(model), in_mode(model, False), torch.no_grad(), NoChance():  # type: ignore[no-untyped-call]
            return output_tensors(example.call_on_copy(model))

    full = output()

    def reorder(group: Group, ranked: Tensor) -> None:
        for member in group.members:
            index, tensor = torch.from_numpy(member.index), sources[member.source].tensor
            reordered = tensor.index_select(member.dim, index[ranked].reshape(-1))
            tensor.index_copy_(member.dim, index.reshape(-1), reordered)

    def changes(groups: Sequence[Group]) -> bool:
        generator = torch.Generator().manual_seed(1)
        names = sorted({member.source for group in groups for member in group.members})
        tensors = {name: sources[name].tensor for name in names}
        drawn = {
            name for name, weight in tensors.items() if isinstance(weight, nn.Parameter) and weight.is_floating_point()
        }
        before = {name: tensors[name].detach().clone() for name in names if name not in drawn}
        with torch.no_grad():
            try:
                for group in groups:
                    reorder(group, torch.randperm(group.units, generator=generator))
                return any(apart(a, b) > allowed for a, b in zip(output(), full, strict=True))
            finally:
                for name in names:
                    if name in drawn:
                        weights.fill_(name, tensors[name])
                    else:
                        tensors[name].copy_(before[name])

    unsortable: list[str] = []
    left = [structure.groups] if structure.groups else []
    while left:
        groups = left.pop()
        if changes(groups):
            middle = len(groups) // 2
            unsortable += [groups[0].name] if len(groups) == 1 else []
            left += [groups[:middle], groups[middle:]] if middle else []
    return frozenset(unsortable)
