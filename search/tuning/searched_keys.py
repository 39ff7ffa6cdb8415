"""Searched keys: the keys of a configuration that a search decides, and the configuration of one candidate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ofa.errors import InvalidInput, nearest
from search.candidate import Setting
from search.parameters import Number, OneOf, Parameter, When, check_parameters

KINDS = ("one_of", "number", "whole")
KNOWN = ("sets", *KINDS, "log", "start", "when")


@dataclass(frozen=True)
class SearchedKeys:
    """The `search.parameters` of a configuration.

    Attributes:
        parameters: those to search, each after those that it depends on.
        paths: the keys of the configuration that each of them sets.
        options: of a parameter whose values are names, what each name puts there.
    """

    parameters: tuple[Parameter, ...]
    paths: Mapping[str, tuple[str, ...]]
    options: Mapping[str, DictConfig]


def searched_keys(config: DictConfig) -> SearchedKeys:
    """Returns what `search.parameters` says; an entry that is null is not searched.

    Raises:
        InvalidInput: an entry of which no parameter can be made, or a key that the configuration does not have.
    """
    entries: Mapping[str, Any] = config.search.get("parameters") or {}
    asked = {str(name): entries[name] for name in entries if entries[name] is not None}
    found = {name: _parameter(name, entry) for name, entry in asked.items()}
    paths = {name: _paths(name, entry) for name, entry in asked.items()}
    _check_paths(paths, config)
    options = {name: one.one_of for name, one in asked.items() if isinstance(one.get("one_of"), DictConfig)}
    return SearchedKeys(check_parameters(_ordered(found)), paths, options)


def with_settings(config: DictConfig, keys: SearchedKeys, settings: Mapping[str, Setting]) -> DictConfig:
    """Returns a copy of a configuration with the settings of a candidate at their keys."""
    changed = config.copy()
    for name, value in settings.items():
        chosen = keys.options[name][str(value)] if name in keys.options else value
        for path in keys.paths[name]:
            OmegaConf.update(changed, path, chosen, merge=False, force_add=True)
    return changed


def _parameter(name: str, entry: Any) -> Parameter:
    if not isinstance(entry, DictConfig):
        raise InvalidInput(f"search.parameters.{name}={entry!r} must be a mapping, such as {{number: [0.0, 0.9]}}")
    for key in entry:
        if key not in KNOWN:
            raise InvalidInput(f"search.parameters.{name}.{key!s} is unknown; {nearest(str(key), KNOWN)}")
    kinds = [kind for kind in KINDS if entry.get(kind) is not None]
    if len(kinds) != 1:
        raise InvalidInput(
            f"search.parameters.{name} needs one of {', '.join(KINDS)}; it has {', '.join(kinds) or 'none'}"
        )
    given = entry[kinds[0]]
    when = _when(name, entry.get("when"))
    if kinds[0] == "one_of":
        return OneOf(name, tuple(given), when)
    if not OmegaConf.is_list(given) or len(given) != 2 or not all(_is_number(end) for end in given):
        raise InvalidInput(f"search.parameters.{name}.{kinds[0]}={given} must be two numbers, [least, most]")
    low, high = given
    return Number(
        name, float(low), float(high), bool(entry.get("log", False)), kinds[0] == "whole", entry.get("start"), when
    )


def _when(name: str, given: Any) -> When:
    if given is None:
        return ()
    if not isinstance(given, DictConfig):
        raise InvalidInput(f"search.parameters.{name}.when={given} must name parameters and their values")
    return tuple(
        (str(other), tuple(values) if OmegaConf.is_list(values) else (values,)) for other, values in given.items()
    )


def _paths(name: str, entry: DictConfig) -> tuple[str, ...]:
    sets = entry.get("sets")
    if sets is None:
        raise InvalidInput(f"search.parameters.{name} needs sets: the key of the configuration that it decides")
    return tuple(map(str, sets)) if OmegaConf.is_list(sets) else (str(sets),)


def _check_paths(paths: Mapping[str, tuple[str, ...]], config: DictConfig) -> None:
    """Checks that each key lies in what the configuration has, or in what another parameter puts there."""
    every = {path for own in paths.values() for path in own}
    for name, own in paths.items():
        for path in own:
            parent = path.rpartition(".")[0]
            put_there = any(parent == other or parent.startswith(f"{other}.") for other in every - {path})
            if parent and not put_there and not _is_there(config, parent):
                raise InvalidInput(f"search.parameters.{name} sets {path}, and the configuration has no {parent}")


def _is_there(config: DictConfig, path: str) -> bool:
    try:
        return OmegaConf.select(config, path) is not None
    except OmegaConfBaseException:
        return False


def _ordered(found: Mapping[str, Parameter]) -> list[Parameter]:
    """Those without conditions first, in their order; the others after what they depend on."""
    left, ordered = dict(found), list[Parameter]()
    while left:
        known = {one.name for one in ordered}
        ready = [one for one in left.values() if all(name in known for name, _ in one.when)]
        if not ready:
            return [*ordered, *left.values()]  # a condition on what is not there: check_parameters names it
        ordered += ready
        left = {name: one for name, one in left.items() if one not in ready}
    return ordered


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
