"""The copy of a model on which labels and trials run: randomized, in the finest precision in which it runs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.inputs import Inputs
from ofa.randomize import randomize_statistics_
from ofa.structure.materialized import check_values, on_meta
from ofa.structure.structure import Structure, analyze
from ofa.structure.trace import find_sources
from ofa.trial.weights import Weights

_DOUBLED_BYTES = 256 << 20  # weights that would be larger in double precision are tried as they are


def prepared(private: nn.Module, model: nn.Module, inputs: Inputs) -> tuple[Inputs, Structure, Weights]:
    """Returns the inputs on the CPU, what a private copy's labels propose, and the weights that the copy now has.

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
            return (_double(example), *_analyzed(private, model, _double(example)))
        except InvalidInput:
            _convert_(private, types)
    return (example, *_analyzed(private, model, example))


def _analyzed(private: nn.Module, model: nn.Module, example: Inputs) -> tuple[Structure, Weights]:
    weights = Weights.random()
    randomize_statistics_(private, torch.Generator().manual_seed(0))
    structure = analyze(weights.fill_all_(private), example)
    if not structure.trace.finite and not on_meta(model):
        # Random weights left the domain of some function: those of the model, changed a little, are in it.
        weights = weights.near(model)
        structure = analyze(weights.fill_all_(private), example)
    return structure, weights


def _double(example: Inputs) -> Inputs:
    return example.map(lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)


def _convert_(model: nn.Module, types: Mapping[str, torch.dtype]) -> None:
    """Converts floating-point parameters and buffers one by one; tensors that are shared stay shared."""
    for name, source in find_sources(model).items():
        tensor: Tensor = source.tensor
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(types[name])
