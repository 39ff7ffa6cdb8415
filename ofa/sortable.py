"""Which groups' units are interchangeable, found by running a random reordering."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from ofa.coupling import Group
from ofa.randomise import randomise_
from ofa.structure import Structure, private_copy
from ofa.trace import find_sources

TOLERANCE = 1e-9


def unsortable_groups(model: nn.Module, example: Tensor, structure: Structure) -> frozenset[str]:
    """Returns the names of groups whose units cannot be reordered without changing the function.

    A unit of several coordinates may hold them in an order of its own (a channel shuffle does that), which the
    labels do not show; so a random reordering is run on randomised weights.
    """
    model = randomise_(private_copy(model).double())
    example = example.double() if example.is_floating_point() else example
    sources = find_sources(model)

    def output(tensors: dict[str, Tensor]) -> list[Tensor]:
        with torch.no_grad():
            result = torch.func.functional_call(model, tensors, (example,))
        return [value for value in tree_flatten(result)[0] if isinstance(value, Tensor)]

    full = output({})

    def changes(groups: Sequence[Group]) -> bool:
        generator = torch.Generator().manual_seed(1)
        tensors = {name: source.tensor.detach().clone() for name, source in sources.items()}
        for group in groups:
            ranked = torch.randperm(group.units, generator=generator)
            for member in group.members:
                index = torch.from_numpy(member.index)
                source = tensors[member.source]
                taken = source.index_select(member.dim, index[ranked].reshape(-1))
                tensors[member.source] = source.index_copy(member.dim, index.reshape(-1), taken)
        return any(
            not torch.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE) for a, b in zip(output(tensors), full, strict=True)
        )

    if not changes(structure.groups):
        return frozenset()
    return frozenset(group.name for group in structure.groups if changes([group]))
