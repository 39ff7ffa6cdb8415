"""A comparison in words: what a subnet was chosen for, and what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from search.advantage import MEETS, SAME_SUBNET
from search.report.numbers import cost_text, ms_text


def finding(alone: Sequence[str], pairs: Sequence[Mapping[str, Any]], *, together: bool = False) -> str:
    """Returns how often a device's own choice is better there, in what sense, and what held of the others.

    Args:
        alone: the devices that something was chosen for by a search of this device alone.
        pairs: those of `search.compare.comparison`.
        together: whether there is a search of several devices at once.
    """
    if len(alone) < 2 and together:
        return "Devices were searched together: no two have choices of their own to hold against each other."
    if len(alone) < 2:
        only = f"Only {alone[0]} was searched" if alone else "No device was searched"
        return f"{only}, so there is no other device's choice to hold against its own."
    if not pairs:
        return "No two devices were searched under comparable limits, so no choice was held against another."
    if all(pair["reason"] == SAME_SUBNET for pair in pairs):
        return "The devices chose the same subnets under comparable limits: one subnet serves them all."
    better = [_holds(pair["sense"]) for pair in pairs if pair["better"]]
    other = [pair["reason"] for pair in pairs if not pair["better"]]
    count = "the one comparison" if len(pairs) == 1 else f"{len(pairs)} comparisons"
    if not better:
        return f"On its own device, no choice is better than another device's in {count}: {_counted(other)}."
    if not other:
        every = count if len(pairs) == 1 else f"all {count}"
        return f"On its own device, each choice is better than another device's in {every}: {_counted(better)}."
    rest = f"In the other{'s' if len(other) > 1 else ''}: {_counted(other)}."
    head = f"On its own device, a choice is better than another device's in {len(better)} of {count}"
    return f"{head}: {_counted(better)}. {rest}"


def purposes_text(purposes: Sequence[Mapping[str, Any]]) -> str:
    """Returns what a subnet was chosen for, such as "laptop ≤ 4.00 ms, 6.00 ms; laptop ≤ 4.00 ms and phone ≤ 9.00 ms".

    Args:
        purposes: "chosen_for" of a subnet in comparison.json; none gives an empty text.
    """
    of_one: dict[str, list[str]] = {}
    rest: list[str] = []
    for purpose in purposes:
        devices, in_ms = purpose["devices"], purpose["limits_ms"]
        others = "".join(f", {cost_text(name, limit)}" for name, limit in purpose["limits"].items())
        if len(devices) == 1 and in_ms and not others:
            of_one.setdefault(devices[0], []).append(ms_text(in_ms[devices[0]]))
        else:
            each = [f"{name} ≤ {ms_text(in_ms[name])}" if name in in_ms else str(name) for name in devices]
            rest.append(" and ".join(each) + others)
    own = [f"{device} ≤ {', '.join(dict.fromkeys(texts))}" for device, texts in of_one.items()]
    return "; ".join(dict.fromkeys([*own, *rest]))


def _holds(sense: str) -> str:
    return f"it {sense}" if sense == MEETS else f"it is {sense}"


def _counted(texts: Iterable[str]) -> str:
    """Each text with how often it is there, such as "twice it is quicker at the same accuracy"."""
    times = {1: "once", 2: "twice"}
    counts = Counter(texts)
    return ", ".join(f"{times.get(count, f'{count} times')} {text}" for text, count in counts.most_common())
