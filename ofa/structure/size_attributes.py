"""Size attributes: numbers in Python, beside the tensors, that have to follow the width of a group.

A module that reshapes by `self.num_heads` or by `self.config.hidden_size` is only right in a narrower copy when the
copy's number is smaller too. Such numbers are integers of a module, items of its lists and tuples, or fields of the
objects and dictionaries it holds, whose owners are never changed: a copy of them is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

from torch import Tensor, nn

_DEPTH = 3  # of objects inside objects that are searched
_LONGEST = 32  # items of a list that are searched
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_OPAQUE = (nn.Module, Tensor, type, ModuleType, FunctionType, str, bytes)


@dataclass(frozen=True)
class SizeAttribute:
    """A number of the module at `path` that follows a group: `per_unit` less for each unit that is removed.

    `name` is dotted where the number is inside another object: "num_heads", "config.hidden_size", "sizes.0".
    Several groups may lower one number; `full` is its value in the full model.
    """

    path: str
    name: str
    group: str
    full: int
    per_unit: int


def integers(module: nn.Module) -> Iterator[tuple[str, int]]:
    """Returns the dotted name and the value of each integer that a module's code can reach through `self`.

    Tensors, other modules and what every `nn.Module` has are left out; attributes of its classes are in.
    """
    own = {name: value for name, value in vars(module).items() if name not in _OF_EVERY_MODULE}
    for kind in type(module).__mro__:
        if kind is nn.Module:
            break
        for name, value in vars(kind).items():
            if isinstance(value, int) and not name.startswith("__"):
                own.setdefault(name, value)
    for name, value in own.items():
        yield from _inside(name, value, _DEPTH)


def _inside(name: str, value: Any, depth: int) -> Iterator[tuple[str, int]]:
    if isinstance(value, int):
        if not isinstance(value, bool):
            yield name, value
    elif depth and not isinstance(value, _OPAQUE):
        for key, item in _parts(value):
            yield from _inside(f"{name}.{key}", item, depth - 1)


def _parts(value: Any) -> list[tuple[str, Any]]:
    """The named parts of a list, dictionary or object that `_replaced` can set."""
    if isinstance(value, (list, tuple)):
        return [(str(position), item) for position, item in enumerate(value[:_LONGEST])]
    if isinstance(value, dict):
        return [(key, item) for key, item in value.items() if isinstance(key, str) and "." not in key]
    return [(key, item) for key, item in getattr(value, "__dict__", {}).items() if not key.startswith("__")]


def follow(attributes: Sequence[SizeAttribute], removed: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Returns by module path and name the numbers that change.

    Args:
        attributes: those of the structure.
        removed: how many units each group loses, by its name.
    """
    result: dict[str, dict[str, int]] = {}
    for attribute in attributes:
        lowered = attribute.per_unit * removed.get(attribute.group, 0)
        if lowered:
            numbers = result.setdefault(attribute.path, {})
            numbers[attribute.name] = numbers.get(attribute.name, attribute.full) - lowered
    return result


def set_integers(module: nn.Module, numbers: Mapping[str, int]) -> None:
    """Sets integers of a module by their dotted names; objects that hold them are replaced by changed copies."""
    for name, number in numbers.items():
        first, *inner = name.split(".")
        vars(module)[first] = _replaced(getattr(module, first), inner, number)


def with_integers(module: nn.Module, numbers: Mapping[str, int]) -> nn.Module:
    """Returns a module with integers set: itself where there are none, else a copy around the same tensors."""
    if not numbers:
        return module
    copied = copy.copy(module)
    set_integers(copied, numbers)
    return copied


def _replaced(value: Any, keys: Sequence[str], number: int) -> Any:
    """A copy of `value` in which the part that `keys` lead to is `number`."""
    if not keys:
        return number
    key, *inner = keys
    if isinstance(value, (list, tuple)):
        items = list(value)
        items[int(key)] = _replaced(items[int(key)], inner, number)
        if isinstance(value, list):
            return items
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    copied = copy.copy(value)
    if isinstance(value, dict):
        copied[key] = _replaced(value[key], inner, number)
    else:
        vars(copied)[key] = _replaced(vars(value)[key], inner, number)
    return copied
