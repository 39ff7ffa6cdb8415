"""Figures: the costs of an Arch by name, known without evaluating it; each can be limited and be an objective.

`latency_ms` is the predicted latency on the device of a search; in a search with several devices, each has its own
figure, `latency_ms@<device>`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ofa.arch import Arch
from ofa.errors import InvalidInput, nearest
from search.candidates.space import Candidate
from search.run.scores import MetricFacts

LATENCY = "latency_ms"
BYTES_ON_DISK = "bytes_on_disk"  # of a coded file, predicted, and measured of finalists
INT8_SIZES = ("int8_bytes", "int8_peak_bytes")  # of the ONNX file in int8, predicted, and measured of finalists
# They depend on the network alone.
COUNTS = ("macs", "params", "bytes", BYTES_ON_DISK, "peak_activation_bytes", *INT8_SIZES)
FIGURES = (LATENCY, *COUNTS)
UNITS = {LATENCY: "ms", "macs": "MACs", "params": "params"} | dict.fromkeys(COUNTS[2:], "bytes")

Floats = np.ndarray[Any, np.dtype[np.float64]]
# Maps Archs to their figures by name, each an array (archs,); latencies are predictions.
Figures = Callable[[Sequence[Arch]], Mapping[str, Floats]]
# The same for candidates, whose settings may change their figures.
CandidateFigures = Callable[[Sequence[Candidate]], Mapping[str, Floats]]


def latency_of(device: str) -> str:
    """Returns the name of a device's latency figure in a search of several devices."""
    return f"{LATENCY}@{device}"


def is_latency(name: str) -> bool:
    """Whether a figure is a latency, on the only device or on one of several."""
    return _base(name) == LATENCY


def device_of(name: str) -> str:
    """Returns the device that a latency figure names; empty for `latency_ms`, the figure of the only device."""
    return name.partition("@")[2]


PRECISION = "precision"  # the setting that says which numbers a candidate computes in
_KERNELS = " in int8"


def int8_groups(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the groups of layers that a candidate of these settings has in int8, where each has a precision."""
    start = f"{PRECISION}_"
    return tuple(
        name.removeprefix(start) for name, value in settings.items() if name.startswith(start) and value == "int8"
    )


def is_int8(settings: Mapping[str, Any]) -> bool:
    """Whether a candidate of these settings computes in int8, all of it or some groups of layers."""
    return settings.get(PRECISION) == "int8" or bool(int8_groups(settings))


def in_int8(figure: str, groups: Sequence[str] = ()) -> str:
    """Returns the name of the times that a latency figure has in the kernels of int8, of all layers or some groups."""
    return f"{figure}{_KERNELS}{': ' if groups else ''}{','.join(groups)}"


def of_kernels(times: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the times by latency figure, of the kernels that a candidate of these settings computes with.

    Raises:
        KeyError: some of its layers compute in int8, and that was not timed.
    """
    names = [name for name in times if _KERNELS not in name]
    if groups := int8_groups(settings):
        return {name: times[in_int8(name, groups)] for name in names}
    return {name: times.get(in_int8(name), times[name]) if is_int8(settings) else times[name] for name in names}


def is_figure(name: str) -> bool:
    """Whether there is a figure of this name."""
    return name in FIGURES or (is_latency(name) and device_of(name) != "")


def unit(name: str) -> str:
    """Returns the unit of a figure, such as "ms"."""
    return UNITS[_base(name)]


def number_text(name: str, value: float) -> str:
    """Returns a figure's value as it can be typed in again: four significant digits, large counts in full."""
    return f"{value:.0f}" if not is_latency(name) and value >= 1e4 else f"{value:.4g}"


def figure_text(name: str, value: float) -> str:
    """Returns a figure with its unit, such as "latency_ms=4 ms" or "params=1000000"."""
    text = f"{name}={number_text(name, value)}"
    return text if unit(name) == name else f"{text} {unit(name)}"


def check_figure(name: Any, known: Sequence[str] = FIGURES) -> str:
    """Returns the name of a figure.

    Raises:
        InvalidInput: no figure has that name; the message names the nearest of those `known`.
    """
    if not isinstance(name, str) or not is_figure(name):
        raise InvalidInput(f"{name!r} is not a figure to limit; {nearest(str(name), known)}")
    return name


def _base(name: str) -> str:
    return name.partition("@")[0]


METRIC = "metric"  # among objectives, the first metric of the task
NAMED = ("pareto", METRIC)  # objectives with a short name
Objective = str | Sequence[str]
Directions = Mapping[str, Literal["maximize", "minimize"]]


def objective_names(objective: Objective, latencies: Sequence[str] = (LATENCY,)) -> tuple[str, ...]:
    """Returns the names of what is optimized, in order: one metric, which may be called "metric", and figures.

    Args:
        objective: "pareto" (the task's metric and every latency), "metric" or a metric's name, or a list of names with
            one metric among them, such as ["metric", "latency_ms", "params"]; in it "latency_ms" stands for the
            latency on every device.
        latencies: the latency figures, one per device.

    Raises:
        InvalidInput: a repeated name, a latency of another device, or not exactly one metric.
    """
    names = _names(objective, latencies)
    for name in names:
        if is_figure(name) and name not in (*latencies, *COUNTS):
            raise InvalidInput(f"objective {name!r} is unknown; {nearest(name, (METRIC, *latencies, *COUNTS))}")
        if names.count(name) > 1:
            raise InvalidInput(f"objective {name!r} is given twice; once is enough: {_text(dict.fromkeys(names))}")
    metrics = [name for name in names if not is_figure(name)]
    if not metrics:
        raise InvalidInput(f"objective {_text(names)} has no metric; add it, such as {_text([METRIC, *names])}")
    if len(metrics) > 1:
        raise InvalidInput(
            f"objective {_text(names)} names {' and '.join(metrics)}, of which at most one is a metric to optimize "
            f"beside {', '.join((*latencies, *COUNTS))}; search.metric_limits sets limits on others"
        )
    return tuple(names)


def objective_metric(names: Sequence[str], metrics: Sequence[MetricFacts]) -> MetricFacts:
    """Returns the metric among the names of objectives.

    Args:
        names: as `objective_names` returns them.
        metrics: of the task, its own objective first.

    Raises:
        InvalidInput: the task has no metric of that name, or one that is called as a figure.
    """
    known = {metric.name: metric for metric in metrics}
    if taken := [name for name in known if is_figure(name) or name in NAMED]:
        raise InvalidInput(f"the task has a metric {taken[0]!r}, which is the name of a cost; give it another name")
    name = next(name for name in names if not is_figure(name))
    if name == METRIC:
        return metrics[0]
    if name not in known:
        choices = (*NAMED, *known, *(figure for figure in names if is_figure(figure)), *FIGURES)
        raise InvalidInput(f"objective {name!r} is unknown; {nearest(name, dict.fromkeys(choices))}")
    return known[name]


def directions(objective: Objective, latencies: Sequence[str], metrics: Sequence[MetricFacts]) -> Directions:
    """Returns the names of what is optimized, in order, and their directions; figures are minimized.

    Raises:
        InvalidInput: as `objective_names` and `objective_metric`.
    """
    names = objective_names(objective, latencies)
    metric = objective_metric(names, metrics)
    return {
        (name if is_figure(name) else metric.name): ("minimize" if is_figure(name) else metric.direction)
        for name in names
    }


def _names(objective: Any, latencies: Collection[str]) -> list[str]:
    if isinstance(objective, str):
        if is_figure(objective):
            raise InvalidInput(f"objective {objective!r} alone has no metric; add it: {_text([METRIC, objective])}")
        return [METRIC, *latencies] if objective == "pareto" else [objective]
    if not isinstance(objective, Sequence) or not all(isinstance(name, str) for name in objective):
        raise InvalidInput(f"objective {objective!r} must be pareto, metric or a list, such as [metric,latency_ms]")
    each = [list(latencies) if name == LATENCY else [name] for name in objective]
    return [name for names in each for name in names]


def _text(names: Iterable[Any]) -> str:
    """A list of names as written on the command line."""
    return f"[{','.join(map(str, names))}]"


def of_candidates(figures: Figures) -> CandidateFigures:
    """Returns the figures of candidates whose settings change none of them."""

    def of(candidates: Sequence[Candidate]) -> Mapping[str, Floats]:
        return figures([candidate.arch for candidate in candidates])

    return of
