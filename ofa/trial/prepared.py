"""The copy of a model on which labels and trials run: randomized, in the finest precision in which it runs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.inputs import Inputs
from ofa.randomize import randomize_
from ofa.structure.materialized import check_values, on_meta
from ofa.structure.structure import Structure, analyse
from ofa.structure.trace import find_sources

_DOUBLED_BYTES = 256 << 20  # weights that would be larger in double precision are tried as they are


def prepared(private: nn.Module, model: nn.Module, inputs: Inputs) -> tuple[nn.Module, Inputs, Structure]:
    """Returns a private copy of a model, randomized, its inputs on the CPU, and the structure that its labels propose.

    Both are in double precision unless the model is large, or names a type of its own and does not run so.

    Raises:
        InvalidInput: the model does not run on the inputs, or they have no values.
    """
    check_values(inputs)
    example = inputs.to("cpu")
    sources = find_sources(private)
    types = {name: source.tensor.dtype for name, source in sources.items()}
    if 8 * sum(source.tensor.numel() for source in sources.values()) <= _DOUBLED_BYTES:
        _convert_(private, dict.fromkeys(types, torch.float64))
        try:
            return private, _double(example), _analysed(private, model, _double(example))
        except InvalidInput:
            _convert_(private, types)
    return private, example, _analysed(private, model, example)


def _analysed(private: nn.Module, model: nn.Module, example: Inputs) -> Structure:
    structure = analyse(randomize_(private), example)
    if structure.trace.finite or on_meta(model):
        return structure
    # Random weights left the domain of some function: those of the model, changed a little, are in it.
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        own = dict(model.named_parameters())
        for name, parameter in private.named_parameters():
            if parameter.is_floating_point():
                noise = torch.empty_like(parameter).normal_(generator=generator)
                parameter.copy_(own[name]).mul_(noise.mul_(0.1).add_(1))
    return analyse(private, example)


def _double(example: Inputs) -> Inputs:
    return example.map(lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)


def _convert_(model: nn.Module, types: Mapping[str, torch.dtype]) -> None:
    """Converts floating-point parameters and buffers one by one; tensors that are shared stay shared."""
    for name, source in find_sources(model).items():
        tensor: Tensor = source.tensor
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(types[name])
