"""Reads a configuration once: Hydra's DictConfig, or plain values, become the request of a verb."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect
from omegaconf import DictConfig, OmegaConf

from ofa.errors import InvalidInput, is_whole, nearest
from search.config.arguments import check_arguments
from search.config.rules import is_name, is_target, keys_of, refusal, rule_text, short, struct_of_values, type_at
from search.run.paths import conf_dir

T = TypeVar("T", bound=msgspec.Struct)

UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")

MISSING = re.compile(r"Object missing required field `([^`]*)`")

KEY = re.compile(r" - at `\$\.?([^`]*)`$")


def read_request(config: DictConfig, kind: type[T]) -> T:
    """Returns the request of a verb from its configuration, with references resolved.

    A request with a field "unresolved" also gets the unresolved configuration, from which the candidates of a search
    are composed.

    Raises:
        InvalidInput: names the first invalid key, with its full name.
        MissingMandatoryValue: a missing mandatory key ("???").
    """
    values: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    if "unresolved" in keys_of(_type_of(kind)):
        values = {**values, "unresolved": OmegaConf.to_container(config, resolve=False)}
    return converted(values, kind)


def converted(values: Any, kind: type[T], prefix: str = "") -> T:
    """Returns plain values as a struct; `prefix` is their key.

    Raises:
        InvalidInput: a value that its key cannot have, an unknown key, or arguments that a `_target_` does not take.
    """
    described = _type_of(kind)
    if not isinstance(values, Mapping):
        raise InvalidInput(refusal(prefix, values, described))
    values = _with_names(values, described)
    try:
        struct = msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, InvalidInput):
            raise error.__cause__ from None
        raise InvalidInput(_line(str(error), values, described, prefix)) from None
    _check_targets(values, described, prefix)
    check_arguments({key: value for key, value in values.items() if key != "unresolved"}, prefix)
    return struct


def checked(request: T) -> T:
    """Returns a request made in Python after the same checks as one that was read.

    Raises:
        InvalidInput: as `converted`.
    """
    return converted(msgspec.to_builtins(request), type(request))


@cache
def _type_of(kind: Any) -> inspect.Type:
    return inspect.type_info(kind)


def _line(message: str, values: Any, kind: inspect.Type, prefix: str) -> str:
    """The message of msgspec with the key's full name, its value and the rule."""
    match = KEY.search(message)
    path = _path(match.group(1) if match else "", values, kind)
    key, type_there = _joined(prefix, path), type_at(kind, path)
    if missing := MISSING.match(message):
        full = _joined(key, [missing.group(1)])
        return f"{full} has to be given: {rule_text(type_at(type_there, [missing.group(1)]))}"
    if unknown := UNKNOWN.match(message):
        name = unknown.group(1)
        full, value = _joined(key, [name]), _at(values, path)[name]
        if path and not prefix and name in keys_of(kind):  # such as search.limits.latency_ms
            return f"{full}={short(value)} is not a key of {key}: give {name}={short(value)}"
        return f"{full} is unknown; {nearest(name, keys_of(type_there))}"
    return refusal(key, _at(values, path), type_there)


def _path(location: str, values: Any, kind: inspect.Type) -> list[str]:
    """The keys to a place as msgspec writes it, which calls each key that is free "[...]"."""
    head, bracket, rest = location.partition("[")
    path = [part for part in head.split(".") if part]
    group = struct_of_values(type_at(kind, path))
    if not bracket or group is None:
        return path
    wrong = next(name for name, value in _at(values, path).items() if not _fits(value, group.cls))
    return [*path, wrong, *(part for part in rest.partition("]")[2].partition("[")[0].split(".") if part)]


def _fits(value: Any, kind: type[msgspec.Struct]) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _with_names(values: Mapping[str, Any], kind: inspect.Type) -> dict[str, Any]:
    """The values, with numbers that are names as text: run=2026 names a run."""
    changed = dict(values)
    for key, value in values.items():
        if is_whole(value) and is_name(type_at(kind, [key])):
            changed[key] = str(value)
    return changed


def _check_targets(value: Any, kind: inspect.Type, key: str) -> None:
    """Checks that every description of an object has a `_target_`."""
    for name in keys_of(kind):
        inner = type_at(kind, [name])
        inner_value, full = value.get(name), _joined(key, [name])
        if is_target(inner):
            if isinstance(inner_value, Mapping) and inner_value and not isinstance(inner_value.get("_target_"), str):
                raise InvalidInput(refusal(full, inner_value, inner))
            if inner_value == {} and not isinstance(inner, inspect.UnionType):
                raise InvalidInput(refusal(full, inner_value, inner))
        elif isinstance(inner_value, Mapping):
            _check_targets(inner_value, inner, full)


def _at(values: Any, path: Sequence[str]) -> Any:
    for name in path:
        values = values[name]
    return values


def _joined(prefix: str, path: Sequence[str]) -> str:
    return ".".join([*([prefix] if prefix else []), *path])


def group_option(group: str, name: str) -> dict[str, Any]:
    """Returns an option of a group whose options only build on others of their group, such as `device`.

    Raises:
        InvalidInput: there is no such option.
    """
    names = sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
    if name not in names:
        raise InvalidInput(f"{group}={name!r} is not known; {nearest(name, names)}")
    config: Any = OmegaConf.to_container(OmegaConf.load(conf_dir() / group / f"{name}.yaml"))
    bases = [base for base in config.pop("defaults", []) if base != "_self_"]
    values = OmegaConf.merge(*(group_option(group, base) for base in bases), config)
    return {str(key): value for key, value in dict(OmegaConf.to_container(values)).items()}  # type: ignore[arg-type]
