"""Containers: what a call gets and gives, as tuples, lists, mappings and dataclasses around tensors."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

# The way to a part of a container: indices, keys and names of fields.
Way = tuple[Any, ...]


def leaves(value: Any, way: Way = ()) -> Iterator[tuple[Way, Any]]:
    """Returns each part of nested tuples, lists, mappings and dataclasses, with the way to it."""
    parts = parts_of(value)
    if parts is None:
        yield way, value
    else:
        for key, part in parts:
            yield from leaves(part, (*way, key))


def replaced(value: Any, function: Callable[[Any], Any]) -> Any:
    """Returns the same containers around `function` of each part that is not a container."""
    parts = parts_of(value)
    if parts is None:
        return function(value)
    new = {key: replaced(part, function) for key, part in parts}
    if isinstance(value, Mapping) or dataclasses.is_dataclass(value):
        result = copy.copy(value)
        for key, part in new.items():
            if isinstance(value, Mapping):
                result[key] = part  # type: ignore[index]
            else:
                object.__setattr__(result, key, part)
        return result
    return type(value)(*new.values()) if hasattr(value, "_fields") else type(value)(new.values())


def parts_of(value: Any) -> list[tuple[Any, Any]] | None:
    """Returns the parts of a container by index, key or name of a field; None for anything else."""
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, (list, tuple)):
        return list(enumerate(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    return None


def at(value: Any, way: Way) -> Any:
    """Returns the part that a way leads to, or None where there is none."""
    for key in way:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, (list, tuple)):
            value = value[key] if key < len(value) else None
        else:
            value = getattr(value, key, None)
    return value
