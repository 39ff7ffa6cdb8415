"""Alignment: which multiples of channels a runtime likes, from a few small networks timed beside the anchors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from ofa.errors import InvalidInput
from search.device.timing import Floats

MULTIPLES = (4, 8, 16)  # ascending, each a multiple of the one before
WIDEST = MULTIPLES[-1]
BASES = (32, 96)  # a step of 16 is half of the first one's time, which shows stairs; the second is a usual width
STEPS = (0, 1, 2, 4, 8, 12, WIDEST)
BLOCKS = 2  # one after another, so that what a call costs in itself weighs less
OUTER, PIXELS = 32, 16  # channels around the middle ones, and height and width of the map
DEARER = 0.10  # over what lies between aligned widths
LOSES = 0.05  # over the aligned width above: what costs no more than that one is a stair, not a slow path
STAIR_FIT = 0.5  # stairs must leave less than this share of the squared error that an even rise leaves
TIE = 0.9  # and wider steps less than this share of what narrower ones leave
STAIR_RISE = 0.10  # of the time, over a step of 16: where width hardly costs anything there are no stairs to see


@dataclass(frozen=True)
class Alignment:
    """What a runtime's times say about widths.

    Attributes:
        needed: widths that are no multiples of it run on a slow path; 1 where any width will do.
        stairs: time grows in steps of it, so that a width between two steps costs what the upper one does; 1 for none.
        excess: by multiple, what widths that violate it and no smaller one cost over what lies between aligned
            widths, a mean fraction.
        probes: (width, ms) of every network that was timed.
    """

    needed: int
    stairs: int
    excess: Mapping[int, float]
    probes: tuple[tuple[int, float], ...]

    @property
    def worst(self) -> tuple[int, float]:
        """The width that costs most against what lies between widths of the needed multiple, and that factor."""
        widths, ms = _arrays(*zip(*self.probes, strict=True))
        factors = ms / _neighbours(widths, ms, max(self.needed, MULTIPLES[0]))[0]
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
        if not isinstance(excess, dict) or not all(_is_number(excess.get(str(each))) for each in MULTIPLES):
            raise InvalidInput(f"alignment.excess must have a number for each of {_listed(MULTIPLES)}")
        if not isinstance(probes, list) or not all(isinstance(one, list) and len(one) == 2 for one in probes):
            raise InvalidInput("alignment.probes must be a list of [width, ms]")
        widths, ms = [one[0] for one in probes], [one[1] for one in probes]
        if not all(map(_is_number, [*widths, *ms])):
            raise InvalidInput("alignment.probes must have numbers alone")
        _check(widths, ms)
        return cls(
            needed=int(value["needed"]),
            stairs=int(value["stairs"]),
            excess={each: float(excess[str(each)]) for each in MULTIPLES},
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
    """Returns what times in ms of networks of these middle widths say; the rules are robust to some % of noise.

    A multiple is needed where widths that violate it cost over 10 % more than what lies between the nearest aligned
    ones, and more than the aligned one above too, which has more channels for less time. Where they cost what that one
    does, they buy nothing: stairs, which is weaker advice. A tie goes to the smaller multiple.

    Raises:
        InvalidInput: no two multiples of 16 as neighbours among the widths, one named twice, or a time that is none.
    """
    _check(widths, ms)
    order = np.argsort(np.asarray(widths))
    at, took = (values[order] for values in _arrays(widths, ms))
    excess, needed = {}, 1
    for multiple, smaller in zip(MULTIPLES, (1, *MULTIPLES), strict=False):
        violates = (at % multiple != 0) & (at % smaller == 0)
        between, above = _neighbours(at, took, multiple)
        excess[multiple] = _mean(took[violates] / between[violates]) - 1
        if excess[multiple] > DEARER and _mean(took[violates] / above[violates]) - 1 > LOSES:
            needed = multiple
    probes = tuple(zip(map(int, at), map(float, took), strict=True))
    return Alignment(needed, _stairs(at, took, needed), excess, probes)


def _stairs(widths: Floats, ms: Floats, needed: int) -> int:
    """The multiple in which time grows, counting widths on no slow path; 1 where it grows evenly, or not at all."""
    spans = [
        (widths[inside], ms[inside] / ms[inside].mean())
        for low, high in _spans(widths)
        if (inside := (widths >= low) & (widths <= high) & (widths % needed == 0)).sum() > 2
    ]
    if not spans or np.mean([took[-1] / took[0] - 1 for _, took in spans]) < STAIR_RISE:
        return 1
    even = sum(_squared_error(at, took) for at, took in spans)
    found, least = 1, STAIR_FIT * even / TIE
    for multiple in (each for each in MULTIPLES if each > needed):
        error = sum(_squared_error(np.ceil(at / multiple) * multiple, took) for at, took in spans)
        if error < TIE * least:
            found, least = multiple, error
    return found


def _squared_error(counted: Floats, ms: Floats) -> float:
    """What the best straight line over the counted widths leaves."""
    columns = np.stack([np.ones(len(counted)), counted], axis=1)
    residual = ms - columns @ np.linalg.lstsq(columns, ms, rcond=None)[0]
    return float(residual @ residual)


def _neighbours(widths: Floats, ms: Floats, multiple: int) -> tuple[Floats, Floats]:
    """By width (N,) the ms that lies between the nearest aligned widths, and the ms of the aligned one above."""
    aligned = widths[widths % multiple == 0]
    known = ms[widths % multiple == 0]
    above = np.minimum(np.searchsorted(aligned, widths), len(aligned) - 1)
    return np.interp(widths, aligned, known), known[above]


def _spans(widths: Floats) -> list[tuple[float, float]]:
    """Neighbouring multiples of 16 among the widths."""
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
        raise InvalidInput(f"widths {_listed(widths)} have no two neighbouring multiples of {WIDEST}")


def _arrays(widths: Sequence[float], ms: Sequence[float]) -> tuple[Floats, Floats]:
    return np.array(widths, np.float64), np.array(ms, np.float64)


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 1.0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))
