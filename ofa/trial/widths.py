"""The widths that a trial runs: of each group by its number and its units."""

from __future__ import annotations

from functools import partial

import numpy as np


def half(least: int, _: int, units: int) -> int:
    """Returns half of the units, at least `least` of them where there are as many."""
    return max(min(least, units), units // 2)


def single(_: int, units: int) -> int:
    """Returns one unit."""
    return 1


def every(_: int, units: int) -> int:
    """Returns all units."""
    return units


def drawn(least: int, seed: int, number: int, units: int) -> int:
    """Returns a width of its own for each group: it shows what equal ones hide, as a slice of every second channel."""
    return int(np.random.default_rng([seed, number]).integers(min(least, units), units + 1))


def some_halved(bit: int, value: int, number: int, units: int) -> int:
    """Returns half where the group's number has a bit: of two groups next to each other, the one and then the other."""
    return half(1, number, units) if number >> bit & 1 == value else units


PATTERNS = tuple(partial(some_halved, bit, value) for bit in (0, 1) for value in (1, 0))
