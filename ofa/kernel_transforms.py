"""Learned transforms of kernels: a smaller kernel is a linear function of the next larger one's center.

One matrix for each step of each convolution, such as 7 to 5, shared by all its channels. They start as the identity,
where they are the plain crop, and are parameters of the convolution, so they are trained, saved and moved with it.

Source: Cai et al. 2020 (1908.09791), section 3.3, elastic kernel size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput

PREFIX = "kernel_transform_"


def is_kernel_transform(name: str) -> bool:
    """Returns whether a parameter, given by its name or full name, belongs to no subnet but makes its kernels."""
    return name.rpartition(".")[2].startswith(PREFIX)


def add_kernel_transforms_(model: nn.Module, kernels: Mapping[str, Sequence[int]]) -> None:
    """Adds the transforms between kernel sizes to convolutions, in place; those that are there already stay.

    Args:
        model: the network.
        kernels: the sizes of each convolution by its path, ascending, the full one last.

    Raises:
        InvalidInput: a convolution has transforms between other sizes.
    """
    for path, sizes in kernels.items():
        conv = model.get_submodule(path)
        weight = conv.weight
        assert isinstance(weight, Tensor)
        wanted = [_name(large, small) for small, large in pairwise(sizes)]
        present = [name for name, _ in conv.named_parameters(recurse=False) if is_kernel_transform(name)]
        if unknown := sorted(set(present) - set(wanted)):
            raise InvalidInput(
                f"{path} has {unknown[0]}, of a supernet with other kernel sizes than {', '.join(map(str, sizes))}: "
                "give a fresh model, or the same kernel_sizes"
            )
        for (small, _), name in zip(pairwise(sizes), wanted, strict=True):
            if name not in present:
                device = "cpu" if weight.is_meta else weight.device  # an identity has its values at once
                matrix = torch.eye(small ** (weight.dim() - 2), dtype=weight.dtype, device=device)
                conv.register_parameter(name, nn.Parameter(matrix))


def without_kernel_transforms_(model: nn.Module) -> nn.Module:
    """Returns the same network, from which transforms were removed in place."""
    for module in model.modules():
        for name in [name for name in module._parameters if name.startswith(PREFIX)]:
            del module._parameters[name]
    return model


def kernel_transform(conv: nn.Module, size: int) -> Callable[[Tensor], Tensor] | None:
    """Returns the function from a convolution's weight, (out, in, full...), to its smaller kernel, (out, in, size...).

    None where the convolution has no transforms, or the size is the full one. Steps are taken one after another, each
    from the center of the one before; gradients reach the weight and the transforms.
    """
    names = [name.removeprefix(PREFIX).split("_to_") for name in conv._parameters if name.startswith(PREFIX)]
    steps = sorted(((int(large), int(small)) for large, small in names), reverse=True)
    chosen = [(large, small) for large, small in steps if small >= size]
    if not chosen:
        return None

    def transform(weight: Tensor) -> Tensor:
        for large, small in chosen:
            matrix = conv._parameters[_name(large, small)]
            assert matrix is not None
            for dim in range(2, weight.dim()):
                weight = weight.narrow(dim, (large - small) // 2, small)
            weight = nn.functional.linear(weight.flatten(2), matrix).reshape(weight.shape)
        return weight

    return transform


def _name(large: int, small: int) -> str:
    return f"{PREFIX}{large}_to_{small}"
