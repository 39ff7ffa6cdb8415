"""Searched: the settings that a search decided, what each set, and when it counts, from the search's configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.candidate import Setting

START = "search.tuning.start"
INITIALIZER = "initializer"
SCHEDULE = "prune.schedule"
SPARSITY = "prune.sparsity"


@dataclass(frozen=True)
class Searched:
    """One setting: its name, the keys of the configuration that it sets, the values of others that it counts for,
    and whether its numbers are on a logarithmic scale.
    """

    name: str
    sets: tuple[str, ...] = ()
    when: tuple[tuple[str, tuple[Setting, ...]], ...] = ()
    log: bool = False


def searched_settings(config: Mapping[str, Any], names: Sequence[str]) -> tuple[Searched, ...]:
    """Returns a Searched for each of `names`, in the order of `search.parameters`; one that is not there has no keys.

    Args:
        config: what the search was made with, as its stamp keeps it.
        names: the settings that its candidates have.
    """
    entries = _mapping(_mapping(config.get("search")).get("parameters"))
    ordered = sorted(names, key=lambda name: list(entries).index(name) if name in entries else len(entries))
    return tuple(_searched(name, _mapping(entries.get(name))) for name in ordered)


def that_sets(settings: Sequence[Searched], key: str) -> Searched | None:
    """Returns the setting that decides `key`, whatever its name; None where none does."""
    return next((one for one in settings if key in one.sets), None)


def dependents(name: str, settings: Sequence[Searched]) -> frozenset[str]:
    """Returns the settings whose counting depends on that one, directly or through others."""
    found = {name}
    while more := {one.name for one in settings if one.name not in found and any(on in found for on, _ in one.when)}:
        found |= more
    return frozenset(found - {name})


def _searched(name: str, entry: Mapping[str, Any]) -> Searched:
    when = tuple((str(other), tuple(_listed(values))) for other, values in _mapping(entry.get("when")).items())
    return Searched(name, tuple(map(str, _listed(entry.get("sets")))), when, bool(entry.get("log")))


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
