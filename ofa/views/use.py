"""Which weights of the supernet a subnet has: counted in place, entry by entry, over the subnets of a step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ofa.kernel_transforms import is_kernel_transform
from ofa.views.module_plan import ModulePlan
from ofa.views.plan import Slice


def count_use_(plan: ModulePlan, counts: Mapping[int, Tensor]) -> None:
    """Adds 1, in place, to the entries of `counts` that the subnet of a plan has, each once.

    Args:
        plan: of the subnet.
        counts: by the id of a parameter, of its shape; parameters that are not named are passed over.
    """
    seen: set[int] = set()
    for part in _parts(plan):
        own = part.module._parameters
        for name, cut in part.slices.items():
            weight = own.get(name)
            if weight is None or id(weight) in seen or id(weight) not in counts:
                continue
            seen.add(id(weight))
            if cut.transform is None:
                _add_cut_(counts[id(weight)], cut, 1)
            else:
                matrices = [own[other] for other in own if is_kernel_transform(other)]
                _add_transformed_(cut, weight, [matrix for matrix in matrices if matrix is not None], counts)


def _parts(plan: ModulePlan) -> Iterator[ModulePlan]:
    yield plan
    for _, child in plan.children:
        if child is not None:
            yield from _parts(child)


def _add_cut_(counts: Tensor, cut: Slice, value: Tensor | int) -> None:
    """Adds a value, or one of the cut's shape, where the cut is."""
    for dim, start, length in cut.narrows:
        counts = counts.narrow(dim, start, length)
    if not cut.gathers:
        counts += value
        return
    places = [torch.arange(size, device=counts.device) for size in counts.shape]
    for dim, positions in cut.gathers:
        places[dim] = positions.to(counts.device)
    # Along a dimension each, they meet as a grid that is not held.
    grid = [cut.view([-1 if other == dim else 1 for other in range(counts.dim())]) for dim, cut in enumerate(places)]
    counts[tuple(grid)] += value


def _add_transformed_(cut: Slice, weight: Tensor, matrices: list[Tensor], counts: Mapping[int, Tensor]) -> None:
    """Adds a kernel that others are computed to: what a gradient reaches, of it and of the matrices."""
    assert cut.transform is not None
    plain = Slice(cut.narrows, cut.gathers, cut.shape)
    with torch.enable_grad():
        inside = torch.ones_like(plain(weight.detach())).requires_grad_()
        reached = torch.autograd.grad(cut.transform(inside).sum(), [inside, *matrices], allow_unused=True)
    if reached[0] is not None:
        _add_cut_(counts[id(weight)], plain, (reached[0] != 0).to(counts[id(weight)].dtype))
    for matrix, gradient in zip(matrices, reached[1:], strict=True):
        if gradient is not None and id(matrix) in counts:
            counts[id(matrix)] += (gradient != 0).to(counts[id(matrix)].dtype)
