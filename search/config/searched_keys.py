"""Searched keys: the configuration keys that a search varies, and the request of one candidate."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ofa.errors import InvalidInput, nearest
from search.candidates.parameters import Number as NumberParameter
from search.candidates.parameters import OneOf, Parameter, When, check_parameters
from search.config.read import converted
from search.config.rules import Number, Text
from search.config.search import SearchRequest
from search.config.tuning import CandidateRequest
from search.run.cards import Setting

KINDS = ("one_of", "number", "whole")


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of `search.parameters`: the keys that it sets, and their possible values.

    Attributes:
        sets: a configuration key, or several.
        one_of: a list of values, or a mapping of names to values.
        number, whole: the least and the most.
        log: whether the scale is logarithmic.
        start: the initial value.
        when: the values of other parameters under which this one is active.
    """

    sets: Text | tuple[Text, ...] | None = None
    one_of: Any = None
    number: Any = None
    whole: Any = None
    log: bool = False
    start: float | None = None
    when: Any = None


@dataclass(frozen=True)
class SearchedKeys:
    """The `search.parameters` of a request.

    Attributes:
        parameters: the searched parameters, each after those that it depends on.
        paths: the configuration keys that each of them sets.
        options: for a parameter whose values are names, the unresolved value of each name.
    """

    parameters: tuple[Parameter, ...]
    paths: Mapping[str, tuple[str, ...]]
    options: Mapping[str, Mapping[str, Any]]


def searched_keys(request: SearchRequest) -> SearchedKeys:
    """Returns the `search.parameters` of a request; an entry that is null is not searched.

    Raises:
        InvalidInput: an invalid entry, or a key that the configuration does not have.
    """
    searched = {name: entry for name, entry in (request.search.parameters or {}).items() if entry is not None}
    entries = {name: converted(entry, Entry, f"search.parameters.{name}") for name, entry in searched.items()}
    parameters = {name: _parameter(name, entry) for name, entry in entries.items()}
    paths = {name: _paths(name, entry) for name, entry in entries.items()}
    _check_paths(paths, OmegaConf.create(request.composed))
    with_options = [name for name, entry in entries.items() if isinstance(entry.one_of, Mapping)]
    options = {name: _options(request, name) for name in with_options}
    return SearchedKeys(check_parameters(_ordered(parameters)), paths, options)


def candidate_request(
    composed: Mapping[str, Any], keys: SearchedKeys, settings: Mapping[str, Setting]
) -> CandidateRequest:
    """Returns the request of the candidate with these settings.

    Args:
        composed: the configuration before its references are resolved (see `SearchRequest.composed`).

    Raises:
        InvalidInput: a setting that is not searched, or an invalid value: studies are untrusted.
    """
    changed = OmegaConf.create(copy.deepcopy(dict(composed)))
    parameters = {parameter.name: parameter for parameter in keys.parameters}
    for name, value in settings.items():
        if name not in parameters:
            raise InvalidInput(f"a candidate has the setting {name}={value!r:.60}; {nearest(name, parameters)}")
        parameters[name].check(value)
        chosen = keys.options[name][str(value)] if name in keys.options else value
        for path in keys.paths[name]:
            OmegaConf.update(changed, path, chosen, merge=False, force_add=True)
    values: Any = OmegaConf.to_container(changed, resolve=True, throw_on_missing=True)
    return converted({**values, "search": {"tuning": values["search"]["tuning"]}}, CandidateRequest)


def _parameter(name: str, entry: Entry) -> Parameter:
    kinds = [kind for kind in KINDS if getattr(entry, kind) is not None]
    if len(kinds) != 1:
        raise InvalidInput(
            f"search.parameters.{name} needs one of {', '.join(KINDS)}; it has {', '.join(kinds) or 'none'}"
        )
    when, (kind,) = _when(name, entry.when), kinds
    if kind == "one_of":
        return OneOf(name, tuple(entry.one_of), when)
    ends = getattr(entry, kind)
    try:
        low, high = msgspec.convert(ends, tuple[Number, Number])
    except msgspec.ValidationError:
        raise InvalidInput(f"search.parameters.{name}.{kind}={ends} must be two numbers, [least, most]") from None
    return NumberParameter(name, low, high, entry.log, kind == "whole", entry.start, when)


def _when(name: str, conditions: Any) -> When:
    if conditions is None:
        return ()
    if not isinstance(conditions, Mapping):
        raise InvalidInput(f"search.parameters.{name}.when={conditions} must name parameters and their values")
    return tuple(
        (str(other), tuple(values) if isinstance(values, list) else (values,)) for other, values in conditions.items()
    )


def _paths(name: str, entry: Entry) -> tuple[str, ...]:
    if not entry.sets:
        raise InvalidInput(f"search.parameters.{name} needs sets: the key of the configuration that it decides")
    return (entry.sets,) if isinstance(entry.sets, str) else entry.sets


def _options(request: SearchRequest, name: str) -> Mapping[str, Any]:
    """The unresolved configuration value of each name of a parameter."""
    for parameters in (request.composed["search"]["parameters"], request.search.parameters):
        if isinstance(parameters, Mapping) and isinstance(entry := parameters.get(name), Mapping):
            if isinstance(options := entry.get("one_of"), Mapping):
                return options
    raise AssertionError(name)  # checked by `searched_keys`


def _check_paths(paths: Mapping[str, tuple[str, ...]], config: DictConfig) -> None:
    """Checks that the parent of each key exists, in the configuration or set by another parameter."""
    all_paths = {path for keys_set in paths.values() for path in keys_set}
    for name, keys_set in paths.items():
        for path in keys_set:
            parent = path.rpartition(".")[0]
            is_added = any(parent == other or parent.startswith(f"{other}.") for other in all_paths - {path})
            if parent and not is_added and not _exists(config, parent):
                raise InvalidInput(f"search.parameters.{name} sets {path}, and the configuration has no {parent}")


def _exists(config: DictConfig, path: str) -> bool:
    try:
        return OmegaConf.select(config, path) is not None
    except OmegaConfBaseException:
        return False


def _ordered(parameters: Mapping[str, Parameter]) -> list[Parameter]:
    """Parameters without conditions first, in order; the others after those that they depend on."""
    remaining, ordered = dict(parameters), list[Parameter]()
    while remaining:
        ordered_names = {parameter.name for parameter in ordered}
        next_parameters = [
            parameter for parameter in remaining.values() if all(name in ordered_names for name, _ in parameter.when)
        ]
        if not next_parameters:
            return [*ordered, *remaining.values()]  # a condition on an unknown parameter: check_parameters names it
        ordered += next_parameters
        remaining = {name: parameter for name, parameter in remaining.items() if parameter not in next_parameters}
    return ordered
