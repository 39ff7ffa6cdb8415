"""Checks the arguments of a `_target_` of this toolkit or of PyTorch against the types in its signature."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

from hydra.utils import get_object

from ofa.errors import InvalidInput, is_number, is_whole
from search.config.rules import is_whole_float, short

CHECKED = ("ofa", "search", "torch")  # packages whose signatures are checked
LARGEST = 2**63 - 1
RATE_FOUND = ("lr", "auto")  # an optimizer's rate that its training finds, see ofa.train.rate_test
SCALARS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}


def check_arguments(config: Mapping[str, Any], prefix: str = "") -> None:
    """Checks the values given to every `_target_` in a configuration of plain values.

    Raises:
        InvalidInput: names the key, the value and the type in the signature.
    """
    for key, value, hint in _arguments(config, prefix):
        if not accepts(hint, value):
            whole = "" if not (is_whole_float(value) and accepts(hint, int(value))) else f" (write {int(value)})"
            raise InvalidInput(f"{key}={short(value)} must be {words(hint)}{whole}")


def _arguments(value: Any, key: str) -> Iterator[tuple[str, Any, Any]]:
    """The key, the value and the type of every argument whose type is known."""
    items: list[tuple[str, Any]] = []
    if isinstance(value, Mapping):
        hints = hints_of(str(value["_target_"])) if "_target_" in value else {}
        for name, inner in value.items():
            path = f"{key}.{name}" if key else str(name)
            items.append((path, inner))
            if name in hints and not (isinstance(inner, str) and (inner == "???" or (name, inner) == RATE_FOUND)):
                yield from _parts(path, inner, hints[name])
    elif isinstance(value, list):
        items = [(f"{key}.{number}", inner) for number, inner in enumerate(value)]
    for path, inner in items:
        yield from _arguments(inner, path)


def _parts(key: str, value: Any, hint: Any) -> Iterator[tuple[str, Any, Any]]:
    """An argument, or each part of one that is a mapping, so that a message names the exact key."""
    kind, inner = get_origin(hint), get_args(hint)
    if is_typeddict(hint) and isinstance(value, Mapping):
        for name, part in value.items():
            yield from _parts(f"{key}.{name}", part, get_type_hints(hint).get(name, Any))
        return
    if not (inspect.isclass(kind) and issubclass(kind, Mapping)) or not isinstance(value, Mapping) or _is_target(value):
        yield key, value, hint
        return
    for name, part in value.items():
        yield from _parts(f"{key}.{name}", part, inner[1])


@cache
def hints_of(target: str) -> Mapping[str, Any]:
    """Returns the types of a target's arguments; none for other packages and failed imports."""
    if target.partition(".")[0] not in CHECKED:
        return {}
    try:
        target_object = get_object(target)
        parameters = inspect.signature(target_object).parameters
    except Exception:  # instantiation reports it better
        return {}
    names = vars(sys.modules[target_object.__module__])
    hints = {name: _evaluated(parameter.annotation, names) for name, parameter in parameters.items()}
    returned = _evaluated(getattr(target_object, "__annotations__", {}).get("return"), names)
    if not inspect.isclass(target_object) and inspect.isclass(returned) and _is_open(parameters):
        hints = {
            **hints_of(f"{returned.__module__}.{returned.__qualname__}"),
            **hints,
        }  # its options are passed on to that class
    return {name: hint for name, hint in hints.items() if hint is not inspect.Parameter.empty}


def _is_open(parameters: Mapping[str, inspect.Parameter]) -> bool:
    return any(parameter.kind == inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())


def _evaluated(annotation: Any, names: Mapping[str, Any]) -> Any:
    """An evaluated annotation of a signature; empty if it names something that only type checkers import."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return get_type_hints(types.SimpleNamespace(__annotations__={"argument": annotation}), dict(names))["argument"]
    except Exception:
        return inspect.Parameter.empty


def accepts(hint: Any, value: Any) -> bool:
    """Returns whether a configuration value can be an argument of that type."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any or hint is object or isinstance(hint, TypeVar):
        return True
    if origin in (Union, types.UnionType):
        return any(accepts(member, value) for member in inner)
    if origin is Annotated:
        return accepts(inner[0], value)
    if origin is Literal:
        return value in inner
    if hint is None or hint is type(None):
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return is_whole(value) and abs(value) <= LARGEST
    if hint is float:
        return is_number(value)
    if hint in (str, Path):
        return isinstance(value, str)
    kind = origin or hint
    if not inspect.isclass(kind):
        return True
    if issubclass(kind, Mapping):
        return isinstance(value, Mapping) and ("_target_" in value or _all(inner[1:], value.values()))
    if issubclass(kind, Sequence | AbstractSet) or kind is tuple:
        return _is_target(value) or (isinstance(value, list) and _all(inner, value))
    return _is_target(value)


def words(hint: Any) -> str:
    """Returns a type in words."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        named = [member for member in inner if member is type(None) or not words(member).startswith("made by")] or inner
        return " or ".join(
            dict.fromkeys(words(member) for member in sorted(named, key=lambda member: member is type(None)))
        )
    if origin is Annotated:
        return words(inner[0])
    if origin is Literal:
        return " or ".join(map(str, inner))
    if hint is None or hint is type(None):
        return "null"
    if hint in SCALARS:
        return SCALARS[hint]
    kind = origin or hint
    if inspect.isclass(kind) and issubclass(kind, Mapping):
        return "a mapping"
    if inspect.isclass(kind) and issubclass(kind, Sequence | AbstractSet):
        return "a list"
    return f"made by a _target_ ({getattr(kind, '__name__', kind)})"


def _all(hints: Sequence[Any], values: Any) -> bool:
    """Whether all values have the element type, or one of a tuple's element types."""
    element_hints = [hint for hint in hints if hint is not Ellipsis]
    return not element_hints or all(
        _is_target(value) or any(accepts(hint, value) for hint in element_hints) for value in values
    )


def _is_target(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value
