"""Alignment: which multiples of channels suit a runtime, from a few small networks timed with the anchors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from ofa.errors import InvalidInput, is_number
from search.device.timing import Floats

MULTIPLES = (4, 8, 16)  # ascending, each a multiple of the one before
WIDEST = MULTIPLES[-1]
BASES = (32, 96)  # a step of 16 adds half to the first one's time, which reveals stairs; the second is a common width
STEPS = (0, 1, 2, 4, 8, 12, WIDEST)
BLOCKS = 2  # in sequence, so that the overhead of a call weighs less
OUTER, PIXELS = 32, 16  # channels around the middle ones, and height and width of the map
COSTLIER = 0.10  # fraction over the interpolation between aligned widths
LOSES = 0.05  # fraction over the aligned width above: a width that costs no more is a stair, not a slow path
STAIR_FIT = 0.5  # stairs must leave less than this fraction of the squared error of a straight line
LARGEST_NUMBER = 1e18  # the largest that a file may hold
TIE = 0.9  # and wider steps less than this fraction of the error of narrower ones
STAIR_RISE = 0.10  # of the time, over a step of 16: if width hardly affects the time, there are no stairs to see


@dataclass(frozen=True)
class Alignment:
    """How a runtime's times depend on widths.

    Attributes:
        needed: widths that are not multiples of it run on a slow path; 1 where any width will do.
        stairs: time grows in steps of it: a width between two steps costs as much as the upper one; 1 for none.
        excess: by multiple, how much more widths cost that violate it and no smaller one, over the interpolation
            between aligned widths, a mean fraction.
        probes: (width, ms) of every network that was timed.
    """

    needed: int
    stairs: int
    excess: Mapping[int, float]
    probes: tuple[tuple[int, float], ...]

    @property
    def worst(self) -> tuple[int, float]:
        """The width that costs most over the interpolation between widths of the needed multiple, and that factor."""
        widths, ms = _arrays(*zip(*self.probes, strict=True))
        factors = ms / _aligned_times(widths, ms, max(self.needed, MULTIPLES[0]))[0]
        return int(widths[np.argmax(factors)]), float(factors.max())

    def __str__(self) -> str:
        """In words, such as "multiples of 4 needed (97 channels cost 3.1x); steps of 16"."""
        width, factor = self.worst
        needed = f"multiples of {self.needed} needed ({width} channels cost {factor:.1f}x)"
        steps = f"steps of {self.stairs}" if self.stairs > 1 else ""
        return "; ".join(part for part in (needed if self.needed > 1 else "any will do", steps) if part)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return {
            "needed": self.needed,
            "stairs": self.stairs,
            "excess": {str(multiple): share for multiple, share in self.excess.items()},
            "probes": [list(probe) for probe in self.probes],
        }

    @classmethod
    def from_dict(cls, value: Any) -> Alignment:
        """Returns the Alignment that `to_dict` wrote.

        Raises:
            InvalidInput: a field that is missing or wrong.
        """
        if not isinstance(value, dict):
            raise InvalidInput(f"alignment must be a JSON object, not {value!r:.60}")
        known = (1, *MULTIPLES)
        for name in ("needed", "stairs"):
            if not _is_number(value.get(name)) or value[name] not in known:
                raise InvalidInput(f"alignment.{name} = {value.get(name)!r} must be one of {_listed(known)}")
        excess, probes = value.get("excess"), value.get("probes")
        if not isinstance(excess, dict) or not all(_is_number(excess.get(str(multiple))) for multiple in MULTIPLES):
            raise InvalidInput(f"alignment.excess must have a number for each of {_listed(MULTIPLES)}")
        if not isinstance(probes, list) or not all(isinstance(probe, list) and len(probe) == 2 for probe in probes):
            raise InvalidInput("alignment.probes must be a list of [width, ms]")
        widths, ms = [probe[0] for probe in probes], [probe[1] for probe in probes]
        if not all(map(_is_number, [*widths, *ms])):
            raise InvalidInput("alignment.probes must have numbers alone")
        _check(widths, ms)
        return cls(
            needed=int(value["needed"]),
            stairs=int(value["stairs"]),
            excess={multiple: float(excess[str(multiple)]) for multiple in MULTIPLES},
            probes=tuple(zip(map(int, widths), map(float, ms), strict=True)),
        )


def probe_networks() -> list[tuple[int, nn.Module, torch.Tensor]]:
    """Returns the middle width, the network and its input of every probe, by rising width.

    A network is two inverted residual blocks without norms, (1, 32, 16, 16) to the same, in eval mode; weights are
    constant, no generator is touched.
    """
    example = torch.ones(1, OUTER, PIXELS, PIXELS)
    return [(base + step, _probe(base + step), example) for base in BASES for step in STEPS]


def _probe(width: int) -> nn.Module:
    with torch.device("meta"):  # where a layer's random first weights draw from no generator
        layers = [layer for _ in range(BLOCKS) for layer in _block(width)]
    net = nn.Sequential(*layers).to_empty(device="cpu").eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(0.01)
    return net


def _block(width: int) -> list[nn.Module]:
    return [
        nn.Conv2d(OUTER, width, 1),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, groups=width),
        nn.ReLU(),
        nn.Conv2d(width, OUTER, 1),
    ]


def advise(widths: Sequence[int], ms: Sequence[float]) -> Alignment:
    """Returns the Alignment from times in ms of networks of these middle widths; robust to a few % of noise.

    A multiple is needed if widths that violate it cost over 10 % more than the interpolation between the nearest
    aligned ones, and also more than the aligned one above, which has more channels. If they cost as much as that one,
    they gain nothing: stairs, which is weaker advice. A tie goes to the smaller multiple.

    Raises:
        InvalidInput: no two consecutive multiples of 16 among the widths, a repeated width, or an invalid time.
    """
    _check(widths, ms)
    order = np.argsort(np.asarray(widths))
    by_width, times = (values[order] for values in _arrays(widths, ms))
    excess, needed = {}, 1
    for multiple, smaller in zip(MULTIPLES, (1, *MULTIPLES), strict=False):
        violates = (by_width % multiple != 0) & (by_width % smaller == 0)
        between, above = _aligned_times(by_width, times, multiple)
        excess[multiple] = _mean(times[violates] / between[violates]) - 1
        if excess[multiple] > COSTLIER and _mean(times[violates] / above[violates]) - 1 > LOSES:
            needed = multiple
    probes = tuple(zip(map(int, by_width), map(float, times), strict=True))
    return Alignment(needed, _stairs(by_width, times, needed), excess, probes)


def _stairs(widths: Floats, ms: Floats, needed: int) -> int:
    """The multiple in which time grows, leaving out widths on a slow path; 1 where it grows evenly, or not at all."""
    spans = [
        (widths[inside], ms[inside] / ms[inside].mean())
        for low, high in _spans(widths)
        if (inside := (widths >= low) & (widths <= high) & (widths % needed == 0)).sum() > 2
    ]
    if not spans or np.mean([took[-1] / took[0] - 1 for _, took in spans]) < STAIR_RISE:
        return 1
    even = sum(_squared_error(at, took) for at, took in spans)
    steps, least = 1, STAIR_FIT * even / TIE
    for multiple in (multiple for multiple in MULTIPLES if multiple > needed):
        error = sum(_squared_error(np.ceil(at / multiple) * multiple, took) for at, took in spans)
        if error < TIE * least:
            steps, least = multiple, error
    return steps


def _squared_error(counted: Floats, ms: Floats) -> float:
    """The squared error of the best straight line over the counted widths."""
    columns = np.stack([np.ones(len(counted)), counted], axis=1)
    residual = ms - columns @ np.linalg.lstsq(columns, ms, rcond=None)[0]
    return float(residual @ residual)


def _aligned_times(widths: Floats, ms: Floats, multiple: int) -> tuple[Floats, Floats]:
    """By width (N,) the ms interpolated between the nearest aligned widths, and the ms of the aligned one above."""
    aligned = widths[widths % multiple == 0]
    known = ms[widths % multiple == 0]
    above = np.minimum(np.searchsorted(aligned, widths), len(aligned) - 1)
    return np.interp(widths, aligned, known), known[above]


def _spans(widths: Floats) -> list[tuple[float, float]]:
    """Consecutive multiples of 16 among the widths."""
    ends = widths[widths % WIDEST == 0].tolist()
    return [(low, high) for low, high in pairwise(ends) if high - low == WIDEST]


def _check(widths: Sequence[int], ms: Sequence[float]) -> None:
    if len(widths) != len(ms) or len(set(widths)) != len(widths):
        raise InvalidInput(f"{len(widths)} widths with {len(ms)} times: give each width once, with its time")
    if not all(math.isfinite(value) and value > 0 for value in [*widths, *ms]):
        raise InvalidInput("widths of probes and their times must be above 0")
    if any(width != int(width) for width in widths):
        raise InvalidInput(f"widths {_listed(widths)} must be whole numbers of channels")
    if not _spans(np.sort(np.asarray(widths, np.float64))):
        raise InvalidInput(f"widths {_listed(widths)} have no two consecutive multiples of {WIDEST}")


def _arrays(widths: Sequence[float], ms: Sequence[float]) -> tuple[Floats, Floats]:
    return np.array(widths, np.float64), np.array(ms, np.float64)


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 1.0


def _is_number(value: Any) -> bool:
    return is_number(value) and abs(value) < LARGEST_NUMBER


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))
