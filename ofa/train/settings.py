"""What a training was asked to do, as JSON: kept in its checkpoint, so that no other goes on from it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ofa.arch import Arch
from ofa.errors import InvalidInput


def describe(value: Any) -> Any:
    """Returns JSON-able values, equal for equal settings: functions by name, partials with arguments."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Arch):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {str(key): describe(entry) for key, entry in value.items()}
    if isinstance(value, Sequence):
        return [describe(entry) for entry in value]
    if isinstance(value, partial):
        return {"": describe(value.func), "args": describe(value.args), **describe(value.keywords)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        held = {field.name: describe(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"": describe(type(value)), **held}
    name = getattr(value, "__qualname__", None)
    if name is not None:
        return f"{getattr(value, '__module__', '')}.{name}"
    return {"": describe(type(value)), **describe(getattr(value, "__dict__", {}))}


def as_json(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `settings` described, as they come back from a file."""
    decoded: dict[str, Any] = json.loads(json.dumps(describe(settings), sort_keys=True))
    return decoded


def check_same(asked: Mapping[str, Any], held: Mapping[str, Any], source: str) -> None:
    """Checks that a checkpoint's settings are those asked for.

    Raises:
        InvalidInput: naming the first setting that differs, with both values.
    """
    differing = [name for name in sorted(asked.keys() | held.keys()) if asked.get(name) != held.get(name)]
    if differing:
        name = differing[0]
        rest = f" ({', '.join(differing[1:])} differ too)" if differing[1:] else ""
        was, now = json.dumps(held.get(name)), json.dumps(asked.get(name))
        raise InvalidInput(
            f"{source} is of another training: {name} was {was:.120}, now {now:.120}{rest}; "
            f"ask for the same again, delete the file, or train into another folder"
        )
