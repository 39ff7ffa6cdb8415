"""Objectives: what a search optimises. Accuracy goes up, every figure down."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

from ofa.errors import InvalidInput, nearest
from search.figures import COUNTS, LATENCY

ACCURACY = "accuracy"
NAMED = ("pareto", "accuracy")  # objectives that a word stands for
Objective = str | Sequence[str]
Directions = Mapping[str, Literal["maximize", "minimize"]]


def directions(objective: Objective, latencies: Sequence[str] = (LATENCY,)) -> Directions:
    """Returns the names of what is optimised, in order, and their directions.

    Args:
        objective: "pareto" (accuracy and every latency), "accuracy", or a list of names with accuracy among them,
            such as ["accuracy", "latency_ms", "params"]; in it "latency_ms" stands for the latency on every device.
        latencies: the latency figures, one a device.

    Raises:
        InvalidInput: an unknown or a doubled name, or a list without accuracy.
    """
    names = _names(objective, latencies)
    known = (ACCURACY, *latencies, *COUNTS)
    for name in names:
        if name not in known:
            raise InvalidInput(f"objective {name!r} is unknown; {nearest(str(name), known)}")
        if names.count(name) > 1:
            raise InvalidInput(f"objective {name!r} is given twice; once is enough: {_text(dict.fromkeys(names))}")
    if ACCURACY not in names:
        raise InvalidInput(f"objective {_text(names)} has no accuracy; add it, such as {_text([ACCURACY, *names])}")
    return {name: "maximize" if name == ACCURACY else "minimize" for name in names}


def _names(objective: Any, latencies: Collection[str]) -> list[Any]:
    if isinstance(objective, str):
        if objective in (*latencies, *COUNTS, LATENCY):
            raise InvalidInput(f"objective {objective!r} alone has no accuracy; add it: {_text([ACCURACY, objective])}")
        if objective not in NAMED:
            raise InvalidInput(f"objective {objective!r} is unknown; {nearest(objective, NAMED)}")
        return [ACCURACY] if objective == ACCURACY else [ACCURACY, *latencies]
    if not isinstance(objective, Sequence):
        raise InvalidInput(f"objective {objective!r} must be pareto, accuracy or a list, such as [accuracy,latency_ms]")
    each = [list(latencies) if name == LATENCY else [name] for name in objective]
    return [name for names in each for name in names]


def _text(names: Iterable[Any]) -> str:
    """The list as it is given on the command line."""
    return f"[{','.join(map(str, names))}]"
