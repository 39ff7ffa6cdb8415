"""Models without values: tensors on the meta device get some, for runs that show structure and sizes alone."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.inputs import Inputs
from ofa.randomize import draw_


def materialized_(model: nn.Module) -> nn.Module:
    """Returns a model on the CPU, in place, with random values for what is on the meta device; the rest keeps its own.

    Raises:
        InvalidInput: a buffer of whole numbers is on the meta device: what it counts or chooses is not known.
    """
    generator = torch.Generator().manual_seed(0)
    done: dict[int, Tensor] = {}
    for path, module in model.named_modules():
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if tensor is None or not tensor.is_meta:
                    continue
                if id(tensor) not in done:  # what is tied stays tied
                    _check_numbers(tensor, f"{path}.{name}" if path else name)
                    done[id(tensor)] = _drawn(tensor, generator)
                tensors[name] = done[id(tensor)]
    return model.cpu()


def on_meta(model: nn.Module) -> bool:
    """Whether any parameter or buffer of a model is on the meta device."""
    return any(tensor.is_meta for tensor in _tensors(model))


def check_values(inputs: Inputs) -> None:
    """Checks that inputs have values.

    Raises:
        InvalidInput: a tensor on the meta device.
    """
    for name, tensor in inputs.tensors().items():
        if tensor.is_meta:
            raise InvalidInput(
                f"the example input {name!r} of shape {tuple(tensor.shape)} is on the meta device, without values: "
                "give one with values, such as torch.randn(2, 3, 32, 32)"
            )


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    yield from model.parameters()
    yield from model.buffers()


def _check_numbers(tensor: Tensor, name: str) -> None:
    if not (tensor.is_floating_point() or tensor.is_complex()) and tensor.numel() > 1:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise InvalidInput(
            f"{name}, {kind} of shape {tuple(tensor.shape)}, is on the meta device, without values, and what can vary "
            "may depend on them: give it its values, or build the model outside of torch.device('meta')"
        )


def _drawn(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Values for one tensor: parameters as in trials, buffers positive, as a variance must be."""
    with torch.no_grad():
        drawn = torch.zeros_like(tensor, device="cpu", requires_grad=False)
        if isinstance(tensor, nn.Parameter):
            return nn.Parameter(draw_(drawn, drawn.shape, generator), requires_grad=tensor.requires_grad)
        if drawn.is_floating_point():
            drawn.uniform_(0.5, 1.5, generator=generator)
        return drawn
