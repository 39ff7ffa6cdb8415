"""Figures: what an Arch costs, by name, known without evaluating it; each can be a limit and an objective.

`latency_ms` is the predicted latency on the one device of a search; where a search has several devices, each has
a figure of its own, `latency_ms@<device>`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ofa.arch import Arch
from ofa.errors import InvalidInput, nearest
from search.candidate import Candidate

LATENCY = "latency_ms"
COUNTS = ("macs", "params", "bytes", "peak_activation_bytes")  # exact, of the network alone
FIGURES = (LATENCY, *COUNTS)
UNITS = {LATENCY: "ms", "macs": "MACs", "params": "params", "bytes": "bytes", "peak_activation_bytes": "bytes"}

Floats = np.ndarray[Any, np.dtype[np.float64]]
# The figures of Archs, by name, each an array (archs,); latencies are predictions.
Figures = Callable[[Sequence[Arch]], Mapping[str, Floats]]
# The same of candidates, whose settings may change them.
CandidateFigures = Callable[[Sequence[Candidate]], Mapping[str, Floats]]


def latency_of(device: str) -> str:
    """Returns the name of a device's latency figure in a search of several devices."""
    return f"{LATENCY}@{device}"


def is_latency(name: str) -> bool:
    """Whether a figure is a latency, of the one device or of one of several."""
    return _base(name) == LATENCY


def device_of(name: str) -> str:
    """Returns the device that a latency figure names; empty for `latency_ms`, which is of the only one."""
    return name.partition("@")[2]


def is_figure(name: str) -> bool:
    """Whether there is a figure of this name."""
    return name in FIGURES or (is_latency(name) and device_of(name) != "")


def unit(name: str) -> str:
    """Returns the unit of a figure, such as "ms"."""
    return UNITS[_base(name)]


def number_text(name: str, value: float) -> str:
    """Returns a figure's value as it can be given again: four digits, counts of any size in full."""
    return f"{value:.0f}" if not is_latency(name) and value >= 1e4 else f"{value:.4g}"


def figure_text(name: str, value: float) -> str:
    """Returns a figure with its unit, such as "latency_ms=4 ms" or "params=1000000"."""
    text = f"{name}={number_text(name, value)}"
    return text if unit(name) == name else f"{text} {unit(name)}"


def check_figure(name: Any, known: Sequence[str] = FIGURES) -> str:
    """Returns the name of a figure.

    Raises:
        InvalidInput: there is none of that name; the nearest of those `known` are named.
    """
    if not isinstance(name, str) or not is_figure(name):
        raise InvalidInput(f"{name!r} is not a figure to limit; {nearest(str(name), known)}")
    return name


def _base(name: str) -> str:
    return name.partition("@")[0]
