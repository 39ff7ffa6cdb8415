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
    """Returns a width of its own for each group: it shows what equal ones hide, as a slice of every second channel.

    Where there are others, it is neither one unit nor half of them nor all: other runs have these, and they are where
    an order of channels that is wrong at every other width, as after `roll(2)` of 4, happens to be right.
    """
    low, middle = max(least, 2), units // 2
    skips = low <= middle < units
    count = units - low - skips
    if count < 1:
        return half(least, number, units)
    width = low + int(np.random.default_rng([seed, number]).integers(count))
    return width + (skips and width >= middle)


def some_halved(bit: int, value: int, number: int, units: int) -> int:
    """Returns half where the group's number has a bit: of two groups next to each other, the one and then the other."""
    return half(1, number, units) if number >> bit & 1 == value else units


PATTERNS = tuple(partial(some_halved, bit, value) for bit in (0, 1) for value in (1, 0))
