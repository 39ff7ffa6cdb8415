"""Inputs: everything that one call of a model gets, tensors or not, by position and by keyword; and what comes out."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from ofa.errors import InvalidInput


@dataclass(frozen=True, init=False, eq=False)
class Inputs:
    """The arguments of one call, `model(*args, **kwargs)`: `ofa.Inputs(images, mask=mask)`.

    An argument may be a tensor, None, a number, or tuples, lists, dictionaries and dataclasses of them. A tensor whose
    first dimension has the size of the first tensor's holds one entry per example, any other belongs to all examples.

    Attributes:
        args: by position.
        kwargs: by keyword.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def __init__(self, /, *args: Any, **kwargs: Any) -> None:
        """Holds the arguments as they are.

        Raises:
            InvalidInput: no tensor among them with a first dimension of at least one example.
        """
        object.__setattr__(self, "args", args)
        object.__setattr__(self, "kwargs", kwargs)
        sizes = [tensor.shape[0] for tensor in self.tensors().values() if tensor.dim()]
        if not sizes or not sizes[0]:
            raise InvalidInput(
                f"the example input has {self.shapes}; its first tensor must have a first dimension of examples, "
                "at least one, such as (2, 3, 32, 32)"
            )

    def __len__(self) -> int:
        """How many examples."""
        return self.batch

    def call(self, model: nn.Module) -> Any:
        """Returns the model's output."""
        return model(*self.args, **self.kwargs)

    def call_on_copy(self, model: nn.Module) -> Any:
        """Returns the model's output for a copy of these inputs: a forward that writes into its inputs changes none."""
        return self.map(torch.clone).call(model)

    def tensors(self) -> dict[str, Tensor]:
        """Returns the tensors in order, each once: by the keyword, or the position as a number ("0", "mask", "0.key").

        Raises:
            InvalidInput: two tensors of the same name.
        """
        result: dict[str, Tensor] = {}
        seen: set[int] = set()
        for name, tensor in _named((*self.args,), "") + _named(dict(self.kwargs), ""):
            if id(tensor) in seen:
                continue
            if name in result:
                raise InvalidInput(f"two tensors of the example input are named {name!r}; give every key once")
            seen.add(id(tensor))
            result[name] = tensor
        return result

    def map(self, function: Callable[[Tensor], Tensor]) -> Inputs:
        """Returns the same arguments with `function` of every tensor; a tensor that occurs twice is mapped once."""
        done: dict[int, Tensor] = {}

        def once(tensor: Tensor) -> Tensor:
            if id(tensor) not in done:
                done[id(tensor)] = function(tensor)
            return done[id(tensor)]

        return Inputs(*_mapped(self.args, once), **_mapped(dict(self.kwargs), once))

    def filled(self, tensors: Sequence[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Returns args and kwargs with these tensors in place of `tensors()`, in order; nothing is checked."""
        by_id = dict(zip(map(id, self.tensors().values()), tensors, strict=True))
        args = _mapped(self.args, lambda tensor: by_id[id(tensor)])
        return args, _mapped(dict(self.kwargs), lambda tensor: by_id[id(tensor)])

    @property
    def batch(self) -> int:
        """How many examples: the size of the first dimension of the first tensor that has any."""
        return next(int(tensor.shape[0]) for tensor in self.tensors().values() if tensor.dim())

    def is_batched(self, tensor: Tensor) -> bool:
        """Whether a tensor of these inputs holds one entry per example."""
        return tensor.dim() > 0 and tensor.shape[0] == self.batch

    def rows(self, start: int, stop: int, step: int = 1) -> Inputs:
        """Returns each `step`th example from `start` to before `stop`; tensors of all examples stay whole."""
        batch, rows = self.batch, slice(start, stop, step)
        return self.map(lambda tensor: tensor[rows] if tensor.dim() and tensor.shape[0] == batch else tensor)

    def to(self, device: torch.device | str) -> Inputs:
        """Returns the arguments with their tensors, detached, on a device."""
        return self.map(lambda tensor: tensor.detach().to(device))

    @property
    def only(self) -> Tensor | None:
        """The tensor, where one tensor by position is all there is; None otherwise."""
        single = len(self.args) == 1 and not self.kwargs and isinstance(self.args[0], Tensor)
        return self.args[0] if single else None

    @property
    def shapes(self) -> str:
        """The tensors' shapes for a message: "shape (2, 3, 32, 32)" or "0: (2, 7) int64, mask: (2, 7) bool"."""
        tensors = self.tensors()
        if self.only is not None:
            return f"shape {tuple(self.only.shape)}"
        if not tensors:
            return "no tensor"
        kinds = {name: str(tensor.dtype).removeprefix("torch.") for name, tensor in tensors.items()}
        return ", ".join(f"{name}: {tuple(tensor.shape)} {kinds[name]}" for name, tensor in tensors.items())


# What stands for the inputs of a model: a tensor, a tuple of positional or a mapping of keyword arguments, or Inputs.
Example: TypeAlias = Tensor | tuple[Any, ...] | Mapping[str, Any] | Inputs


def as_inputs(example: Example) -> Inputs:
    """Returns the inputs that an example stands for.

    Args:
        example: a tensor (N, ...); a tuple, the positional arguments; a mapping, the keyword arguments; or Inputs.

    Raises:
        InvalidInput: anything else, or no tensor with a first dimension of examples.
    """
    if isinstance(example, Inputs):
        return example
    if isinstance(example, Tensor):
        return Inputs(example)
    if isinstance(example, tuple):
        return Inputs(*example)
    if isinstance(example, Mapping):
        if unnamed := [key for key in example if not isinstance(key, str)]:
            raise InvalidInput(
                f"example_input has the key {unnamed[0]!r:.80}; a dictionary gives keyword arguments by name; "
                "for a model that takes a dictionary as its argument write ofa.Inputs(dictionary)"
            )
        return Inputs(**example)
    way = "a list is one argument: write ofa.Inputs(the_list)" if isinstance(example, list) else "no other type is"
    raise InvalidInput(
        f"example_input is of type {type(example).__name__}; it must be a tensor with a first dimension of examples, "
        "such as (2, 3, 32, 32), a tuple of positional arguments, a dictionary of keyword arguments, or "
        f"ofa.Inputs(*args, **kwargs); {way}"
    )


def call(model: nn.Module, example: Example) -> Any:
    """Returns the model's output for an example; a tensor is passed as it is, without a look at it."""
    return model(example) if isinstance(example, Tensor) else as_inputs(example).call(model)


def output_tensors(output: Any) -> list[Tensor]:
    """Returns the tensors of a model's output in order: of tuples, lists, mappings, dataclasses and pytrees."""
    return [tensor for _, tensor in _named(output, "")]


def named_outputs(output: Any) -> dict[str, Tensor]:
    """Returns the tensors of a model's output by the keys and fields that lead to them; "" for a tensor alone."""
    return dict(_named(output, ""))


def map_tensors(output: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Returns a model's output with `function` of its tensors, in order."""
    return _mapped(output, function)


def logits_of(output: Any, model: nn.Module | None = None) -> Tensor:
    """Returns the tensor of a model's output that is its answer: what it names `logits`, or the only one.

    `model` is named in the message.

    Raises:
        InvalidInput: several tensors, none of which is named so.
    """
    if isinstance(output, Tensor):
        return output
    named = named_outputs(output)
    tensors = [named["logits"]] if "logits" in named else list(named.values())
    if len(tensors) != 1:
        name = "the network" if model is None else type(model).__name__
        raise InvalidInput(
            f"{name} returns {len(named)} tensors ({', '.join(list(named)[:6])}), none named logits: "
            "wrap it in a module that returns the logits"
        )
    return tensors[0]


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    """The parts of a container by name; none for a leaf."""
    if isinstance(value, Mapping):
        yield from ((str(key), part) for key, part in value.items())
    elif isinstance(value, (list, tuple)):
        names = getattr(value, "_fields", range(len(value)))
        yield from ((str(name), part) for name, part in zip(names, value, strict=True))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from ((field.name, getattr(value, field.name, None)) for field in dataclasses.fields(value))
    else:
        leaves, _ = tree_flatten(value)
        if not (len(leaves) == 1 and leaves[0] is value):
            yield from ((str(number), part) for number, part in enumerate(leaves))


def _named(value: Any, name: str) -> list[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        return [(name, value)]
    start = f"{name}." if name else ""
    return [leaf for key, part in _children(value) for leaf in _named(part, f"{start}{key}")]


def _mapped(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """The same containers around other tensors; what holds no tensor is the same object."""
    if isinstance(value, Tensor):
        return function(value)
    parts = dict(_children(value))
    if not parts:
        return value
    if isinstance(value, dict) or dataclasses.is_dataclass(value):
        result = copy.copy(value)
        items = value.items() if isinstance(value, dict) else parts.items()
        for key, part in items:
            if isinstance(result, dict):
                result[key] = _mapped(part, function)
            else:
                object.__setattr__(result, key, _mapped(part, function))
        return result
    if isinstance(value, Mapping):
        return {key: _mapped(part, function) for key, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_mapped(part, function) for part in value))
    if isinstance(value, (list, tuple)):
        return type(value)(_mapped(part, function) for part in value)
    leaves, structure = tree_flatten(value)
    return tree_unflatten([_mapped(leaf, function) for leaf in leaves], structure)
