"""What the folders of extracted subnets are called: after the search's limits, so that each is found again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ofa.errors import InvalidInput
from ofa.paths import read_json
from search.figures import LATENCY, figure_text
from search.latency_limits import search_name, seed_text, split_seed
from search.paths import limit_text
from search.subnet_folder import SubnetFolder


def subnet_name(search: str, found: Mapping[str, Any], target: Mapping[str, float]) -> str:
    """Returns the name of the folder of the subnet that a search chose for `target`.

    `<device>-<limit>ms` where the search has the usual name, `<search>-<limit>ms` where it was given one, and the
    search's own name where it has one target alone: no latency limit, or one on each of several devices. The seed of
    the search stands at the end, as in its own name.

    Args:
        found: the content of the search's finalists.json.
    """
    if LATENCY not in target:
        return search
    device, (base, seed) = str(found["device"]), split_seed(search)
    limits = tuple(sorted(float(finalist["target"][LATENCY]) for finalist in found["finalists"]))
    usual = base in (device, search_name(device, limits))
    return f"{device if usual else base}-{limit_text(target[LATENCY])}ms{seed_text(seed)}"


def check_place(folder: Path, search: str, target: Mapping[str, float]) -> None:
    """Looks at whose subnet is in a folder before another takes its place.

    Raises:
        InvalidInput: that of another search, chosen under other limits.
    """
    path = SubnetFolder(folder).card
    if not path.is_file():
        return
    card = read_json(path)
    if card.get("search") == search or card.get("limits") == dict(target):
        return
    there = ", ".join(figure_text(name, limit) for name, limit in (card.get("limits") or {}).items())
    raise InvalidInput(
        f"{folder} holds the subnet of the search {card.get('search')} ({there or 'no limit'}): "
        f"search with study=NAME to have both, or extract with force=true to replace it"
    )
