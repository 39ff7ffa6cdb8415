"""Operators: the places where a model is one of several layers, and ways to run all or chosen ones of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.one_of import OneOf
from ofa.structure.trace import Call


@dataclass(frozen=True)
class Operator:
    """One `OneOf`: its path in the model, and the names of its layers, the largest last."""

    path: str
    options: tuple[str, ...]

    def option_path(self, number: int) -> str:
        """The path of a layer by its number."""
        return f"{self.path}.options.{self.options[number]}"


def find_operators(model: nn.Module) -> tuple[Operator, ...]:
    """Returns the operators of a model that can be chosen, outer ones before those inside them."""
    modules = model.named_modules()
    return tuple(Operator(path, tuple(module.options)) for path, module in modules if isinstance(module, OneOf))


def chosen_names(operators: Sequence[Operator], numbers: Mapping[str, int]) -> dict[str, str]:
    """Returns the name of the layer that runs by each operator's path: the last where its number is not given."""
    return {operator.path: operator.options[numbers.get(operator.path, -1)] for operator in operators}


def split_calls(calls: Sequence[Call], operators: Sequence[Operator]) -> tuple[list[Call], list[Call]]:
    """Returns the calls outside of operators, and those inside their layers.

    Blocks inside a layer form stages of their own. The operators and their layers are in neither: leaving one out is a
    choice of the operator.
    """
    options = {operator.option_path(number) for operator in operators for number in range(len(operator.options))}
    paths = tuple(f"{operator.path}." for operator in operators)
    inside = [call for call in calls if call.module.startswith(paths) and call.module not in options]
    outside = [call for call in calls if f"{call.module}." not in paths and not call.module.startswith(paths)]
    return outside, inside


@contextmanager
def all_run(model: nn.Module) -> Iterator[None]:
    """Makes every `OneOf` of a private copy run all its layers and return their product: all that meets anywhere meets.

    A product and not a sum, which would look like a residual connection beside an identity.

    Raises:
        InvalidInput: from the forward, layers whose outputs are of different shapes.
    """
    chosen = [(path, module) for path, module in model.named_modules() if isinstance(module, OneOf)]
    for path, module in chosen:
        module.forward = partial(_product, path, module)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for _, module in chosen:
            del module.forward


@contextmanager
def chosen(model: nn.Module, operators: Mapping[str, str]) -> Iterator[None]:
    """Makes operators of a private copy run the named layers, by path; the others stay as they are."""
    before: list[tuple[OneOf, str]] = []
    try:
        for path, name in operators.items():
            module = model.get_submodule(path)
            assert isinstance(module, OneOf)
            before.append((module, module.chosen))
            module.choose_(name)
        yield
    finally:
        for module, name in before:
            module.choose_(name)


def with_chosen(model: nn.Module, operators: Mapping[str, str]) -> nn.Module:
    """Returns a copy of a model whose operators run the named layers, by path; a model without operators itself."""
    if not operators:
        return model
    network = copy.deepcopy(model)
    for path, name in operators.items():
        module = network.get_submodule(path)
        assert isinstance(module, OneOf)
        module.choose_(name)
    return network


def _product(path: str, module: OneOf, *args: Any, **kwargs: Any) -> Any:
    outputs = {name: option(*args, **kwargs) for name, option in module.options.items()}
    (first, product), *others = outputs.items()
    for name, output in outputs.items():
        if not isinstance(output, Tensor):
            raise InvalidInput(f"OneOf at {path!r}: {name} returns a {type(output).__name__}; layers return one tensor")
        if output.shape != outputs[first].shape:
            raise InvalidInput(
                f"OneOf at {path!r}: {first} returns {tuple(outputs[first].shape)} and {name} {tuple(output.shape)}; "
                "all layers must return one shape, so that each can stand for another"
            )
    for _, output in others:
        product = product * output
    return product
