"""Mutators of JSON: edits as a person or a hostile program makes them, with and without a new checksum."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

from benchmarks.mutated.mutation import Mutation, Mutator, Source
from ofa.records import HEAD, checksum_of

# What nothing can be, by name; below these keys are settings of others, where the same names mean anything.
NOT_NEGATIVE = frozenset(("macs", "params", "bytes", "seconds", "ms", "predicted_ms", "measured_ms", "trial", "step"))
FRACTION = frozenset(("accuracy", "validation", "test", "density"))
FREE = frozenset(("config", "settings", "protocol", "options", "measurement", "measurements", "model", "history"))
WRONG = (
    *(None, True, False, 0, 1, -1, 7.5, "", "x", [], {}, [1], {"a": 1}, 2**70, -(2**63), 1e308, -1e308, 5e-324),
    *("\u202e\u0000", "\ud800", "../../../../etc/passwd", "/dev/zero", "x" * 20_000, "${oc.env:HOME}", "<script>"),
)
DEEP = 100_000


def edit(source: Source, rng: random.Random) -> Mutation | None:
    """Returns JSON with one edit, whose checksum does not fit."""
    return _edited(source, rng, sealed=False)


def edit_and_seal(source: Source, rng: random.Random) -> Mutation | None:
    """Returns JSON with one edit, and a checksum that fits."""
    return _edited(source, rng, sealed=True)


def layout(source: Source, rng: random.Random) -> Mutation | None:
    """Returns the same content written in another way, or with text that no JSON has."""
    value = _parsed(source.content)
    if value is None:
        return None
    text = json.dumps(value, indent=rng.choice((None, 1, 8)), sort_keys=rng.random() < 0.5)
    text = rng.choice(
        (text, "\ufeff" + text, text + "\n" * 100, text.replace(":", "  :\t"), text[:-1] + ",}", text * 2)
    )
    return Mutation("laid out anew", text.encode())


def nest(source: Source, rng: random.Random) -> Mutation | None:
    """Returns JSON with something that is nested too deep, or a number of too many digits, in the place of a value."""
    value = _parsed(source.content)
    slots = [] if value is None else list(_slots(value))
    if not slots:
        return None
    parent, key, _ = rng.choice(slots)
    parent[key] = "@@"
    depth = rng.choice((70, 900, DEEP))
    deep = rng.choice(("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth, "9" * 5000, "-1e999", "NaN"))
    return Mutation("nested", json.dumps(value).replace('"@@"', deep).encode(), impossible=True)


def double_key(source: Source, rng: random.Random) -> Mutation | None:
    """Returns JSON with a key twice, its other value first or last."""
    value = _parsed(source.content)
    if not isinstance(value, dict) or not value:
        return None
    key, text = rng.choice(list(value)), json.dumps(value)[1:-1]
    again = f"{json.dumps(key)}: {json.dumps(rng.choice(WRONG))}"
    return Mutation("key doubled", ("{" + rng.choice((f"{again}, {text}", f"{text}, {again}")) + "}").encode())


JSON: tuple[Mutator, ...] = (edit, edit, edit, edit_and_seal, edit_and_seal, edit_and_seal, layout, nest, double_key)


def edited_value(value: Any, rng: random.Random) -> tuple[str, bool] | None:
    """Returns what was edited in a value of JSON, which is changed, and whether it cannot be; None where nothing is."""
    slots = list(_slots(value))
    if not slots:
        return None
    parent, key, path = rng.choice(slots)
    old, free = parent[key], any(name in FREE for name in path)
    kind = rng.choice(("delete", "rename", "type", "number", "number", "order", "double", "text"))
    if kind == "delete":
        del parent[key]
        return "deleted", False
    if kind == "rename" and isinstance(parent, dict):
        parent[rng.choice((f"{key}x", "", str(key).upper()))] = parent.pop(key)
        return "key renamed", False
    if kind == "order" and isinstance(old, list) and len(old) > 1:
        rng.shuffle(old)
        return "items moved", False
    if kind == "double" and isinstance(old, list) and old:
        old.append(copy.deepcopy(rng.choice(old)))
        return "item doubled", False
    if kind == "number" and isinstance(old, int | float) and not isinstance(old, bool):
        parent[key] = rng.choice((-old - 1, old * 1000 + 1, 1e308, -0.5, 1.5, old + 1e-9, 2**63, float("nan")))
        new = parent[key]
        impossible = new != new or (not free and _cannot_be(path, new))
        return "number changed", impossible
    if kind == "text" and isinstance(old, str):
        parent[key] = old[:-1] if rng.random() < 0.5 else old + rng.choice(("\u00e9", "0", "/..", "\x1b[31m"))
        return "text changed", False
    parent[key] = rng.choice(WRONG)
    return "type changed", False


def _cannot_be(path: tuple[str, ...], value: float) -> bool:
    names = [name for name in path if name]
    last = names[-1] if names else ""
    if last in ("examples", "standard_error"):  # of a score, whose value is the third
        return value < (1 if last == "examples" else 0)
    inside = set(names[-2:])
    return (last in NOT_NEGATIVE and value < 0) or (bool(inside & FRACTION) and not 0 <= value <= 1)


def _edited(source: Source, rng: random.Random, *, sealed: bool) -> Mutation | None:
    value = _parsed(source.content)
    done = None if value is None else edited_value(value, rng)
    if done is None:
        return None
    name, impossible = done
    if sealed:
        if not isinstance(value, dict) or not all(key in value for key in HEAD):
            return None
        try:
            value["checksum"] = checksum_of({key: item for key, item in value.items() if key != "checksum"})
        except ValueError:  # NaN, or half a pair of surrogates: no checksum is of that
            sealed = False
    return Mutation(f"{name}{', sealed' if sealed else ''}", json.dumps(value).encode(), sealed, impossible)


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _slots(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[Any, Any, tuple[str, ...]]]:
    """Yields every place of a value: what holds it, its key there, and the names on the way."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        here = (*path, key if isinstance(key, str) else "")
        yield value, key, here
        yield from _slots(inner, here)
