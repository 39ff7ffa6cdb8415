"""Products: what weights multiply, seen while a model runs, whatever layers or functions do it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True)
class Layout:
    """How a weight is stored.

    Attributes:
        kind: "rows" (outputs, inputs), "columns" (inputs, outputs), "convolution" (outputs, inputs / groups, kernel) or
            "transposed" (inputs, outputs / groups, kernel).
        groups: of a convolution; each has its own inputs and outputs.
    """

    kind: Literal["rows", "columns", "convolution", "transposed"] = "rows"
    groups: int = 1

    def matrices(self, weight: Tensor) -> Tensor:
        """Returns the weight as matrices (groups, outputs, inputs * kernel), each of one group of channels."""
        if self.kind == "columns":
            return weight.t()[None]
        if self.kind != "transposed":
            return weight.reshape(self.groups, weight.shape[0] // self.groups, -1)
        inputs, outputs = weight.shape[:2]
        flipped = weight.flatten(2).flip(2).reshape(self.groups, inputs // self.groups, outputs, -1)
        return flipped.transpose(1, 2).flatten(2)

    def weight(self, matrices: Tensor, shape: Sequence[int]) -> Tensor:
        """Returns the weight, of its shape, that has these matrices."""
        if self.kind == "columns":
            return matrices[0].t()
        if self.kind != "transposed":
            return matrices.reshape(tuple(shape))
        split = matrices.reshape(self.groups, shape[1], shape[0] // self.groups, -1).transpose(1, 2)
        return split.reshape(shape[0], shape[1], -1).flip(2).reshape(tuple(shape))


@dataclass(frozen=True)
class Product:
    """One product of a weight with activations.

    Attributes:
        name: of the parameter.
        layout: how it is stored.
        rows: the outputs that this product makes, of all rows of its matrices; attention may take them in parts.
        inputs: (groups, positions, inputs * kernel): each position of the output is matrices @ inputs.
        bias: the parameter that is added to the outputs in the same op, with the place of its first entry, or None.
    """

    name: str
    layout: Layout
    rows: tuple[int, int]
    inputs: Tensor
    bias: tuple[nn.Parameter, int] | None = None


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Calls `seen` with every product of these parameters while it is active."""

    def __init__(
        self, weights: Mapping[str, nn.Parameter], seen: Callable[[Product], None], biases: Iterable[nn.Parameter] = ()
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._seen = seen
        self._by_memory = {_memory(parameter): (name, parameter) for name, parameter in weights.items()}
        self._biases = {_memory(parameter): parameter for parameter in biases if parameter.dim() == 1}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ("mm", "bmm"):
            self._multiplied(args[0], args[1], None)
        elif name in ("addmm", "baddbmm"):
            self._multiplied(args[1], args[2], args[0])
        elif name == "linear":
            self._multiplied(args[0], args[1].t(), args[2] if len(args) > 2 else None)
        elif name in ("convolution", "_convolution"):
            self._convolved(args)
        return result

    def _owner(self, tensor: Tensor) -> tuple[str, nn.Parameter] | None:
        return self._by_memory.get(_memory(tensor))

    def _bias(self, tensor: Tensor | None) -> tuple[nn.Parameter, int] | None:
        bias = None if tensor is None else self._biases.get(_memory(tensor))
        if bias is None or tensor is None:
            return None
        return bias, int(tensor.storage_offset() - bias.storage_offset())

    def _multiplied(self, first: Tensor, second: Tensor, bias: Tensor | None) -> None:
        if self._owner(second) is not None:
            self._report(_shared(second), first, bias)
        elif self._owner(first) is not None:
            shared = _shared(first)
            self._report(None if shared is None else shared.t(), second.transpose(-1, -2), None)

    def _report(self, operand: Tensor | None, inputs: Tensor, bias: Tensor | None) -> None:
        """Reports inputs (..., d) times an operand (d, outputs) that is a parameter, or whole rows of it."""
        if operand is None or (owner := self._owner(operand)) is None:
            return
        name, parameter = owner
        layout_rows = _rows_of(operand, parameter)
        if layout_rows is not None:
            layout, rows = layout_rows
            flat = inputs.detach().reshape(1, -1, inputs.shape[-1])
            self._seen(Product(name, layout, rows, flat, self._bias(bias)))

    def _convolved(self, args: Sequence[Any]) -> None:
        image, weight, bias, stride, padding, dilation, transposed, output_padding, groups = args[:9]
        owner = self._owner(weight)
        if owner is None or weight.shape != owner[1].shape:
            return
        kernel = weight.shape[2:]
        spatial = image.dim() - 2
        stride, padding, dilation = (_each(value, spatial) for value in (stride, padding, dilation))
        image = image.detach()
        if transposed:
            image = _spread(image, stride, padding, dilation, kernel, _each(output_padding, spatial))
            stride = [1] * spatial
        else:
            image = functional.pad(image, [side for p in reversed(padding) for side in (p, p)])
        layout = Layout("transposed" if transposed else "convolution", int(groups))
        rows = weight.shape[1] if transposed else weight.shape[0] // groups
        patches = _patches(image, kernel, stride, dilation, int(groups))
        self._seen(Product(owner[0], layout, (0, int(rows)), patches, self._bias(bias)))


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _each(value: Any, dims: int) -> list[int]:
    values = [int(number) for number in value] if isinstance(value, (list, tuple)) else [int(value)]
    return values * dims if len(values) == 1 else values


def _shared(operand: Tensor) -> Tensor | None:
    """The matrix of an operand that may be a batch of one matrix."""
    if operand.dim() == 2:
        return operand
    return operand[0] if operand.shape[0] == 1 or operand.stride(0) == 0 else None


def _rows_of(operand: Tensor, parameter: Tensor) -> tuple[Layout, tuple[int, int]] | None:
    """How an operand (d, outputs) lies in a parameter: as rows of it, or as the whole of one stored the other way."""
    if not parameter.is_contiguous():
        return None
    rows, columns = parameter.shape[0], parameter[0].numel()
    offset = operand.storage_offset() - parameter.storage_offset()
    depth, outputs = operand.shape
    across, along = operand.stride()
    if (
        depth == columns
        and offset % columns == 0
        and (across == 1 or depth == 1)
        and (along == columns or outputs == 1)
    ):
        first = offset // columns
        return (Layout(), (first, first + outputs)) if first + outputs <= rows else None
    if parameter.dim() == 2 and offset == 0 and (depth, outputs) == (rows, columns) and (across, along) == (columns, 1):
        return Layout("columns"), (0, columns)
    return None


def _spread(
    image: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    kernel: Sequence[int],
    extra: Sequence[int],
) -> Tensor:
    """The input of a transposed convolution as that of a plain one of stride 1, with its kernel flipped."""
    sizes = [(size - 1) * step + 1 for size, step in zip(image.shape[2:], stride, strict=True)]
    spread = image.new_zeros(*image.shape[:2], *sizes)
    spread[(slice(None), slice(None), *(slice(None, None, step) for step in stride))] = image
    sides = []
    for d in reversed(range(len(sizes))):
        before = dilation[d] * (kernel[d] - 1) - padding[d]
        sides += [before, before + extra[d]]
    return functional.pad(spread, sides)


def _patches(
    image: Tensor, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], groups: int
) -> Tensor:
    """What each position of a convolution's output sees, (groups, N * positions, inputs / groups * kernel)."""
    spatial = len(kernel)
    for d in range(spatial):
        dim = 2 + 2 * d  # every dimension done so far has become two: positions and kernel
        reach = dilation[d] * (kernel[d] - 1) + 1
        positions = torch.arange((image.shape[dim] - reach) // stride[d] + 1, device=image.device) * stride[d]
        offsets = torch.arange(kernel[d], device=image.device) * dilation[d]
        index = (positions[:, None] + offsets).reshape(-1)
        sizes = (*image.shape[:dim], len(positions), kernel[d], *image.shape[dim + 1 :])
        image = image.index_select(dim, index).reshape(sizes)
    order = [0, *(2 + 2 * d for d in range(spatial)), 1, *(3 + 2 * d for d in range(spatial))]
    patches = image.permute(order).flatten(0, spatial)  # (N * positions, inputs, kernel...)
    return patches.reshape(len(patches), groups, -1).transpose(0, 1)
