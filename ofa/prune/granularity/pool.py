"""Pools and pieces: what is removed as a unit, and what it is ranked among."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Pool:
    """The pieces of one layer (or of one coupled group of channels), in a fixed order.

    Attributes:
        name: of the weight, such as "conv1.weight", or of the group, such as "conv1".
        pieces: how many there are: weights, blocks or units.
        weights: how many weights all pieces together hold.
        shape: of the layer's weight, (rows, columns, kernel...); of the layer that names the group.
        step: the count of kept pieces is a multiple of this, or all of them.
        least: so many pieces stay, unless none does.
    """

    name: str
    pieces: int
    weights: int
    shape: tuple[int, ...]
    step: int = 1
    least: int = 1


class PieceScores(dict[str, Tensor]):
    """Scores of the pieces themselves, by the name of their pool, (pieces,); more is better."""


class Coupled(Protocol):
    """A granularity whose pieces reach several tensors, as channels do: criteria may score such pieces as a whole."""

    @property
    def sources(self) -> Sequence[str]:
        """Names of the parameters that any piece reaches."""

    def parts(self, values: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        """Returns what each tensor holds of each piece, by pool and parameter, (pieces,): sums of `values`."""

    def alive(self, masks: Mapping[str, Tensor]) -> list[Tensor]:
        """Returns which pieces have anything left, bool (pieces,) per pool."""


class Granularity(Protocol):
    """How weights are cut into pieces: scores in, kept pieces out, masks out."""

    @property
    def pools(self) -> tuple[Pool, ...]:
        """The pools, in the model's order."""

    def gather(self, scores: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> list[Tensor]:
        """Returns the score of each piece, floating, on the CPU, (pieces,) per pool, from scores of weights or rows.

        A piece of which nothing is left has -inf. Granularities that are `Coupled` take `PieceScores` too.
        """

    def spread(self, keep: Sequence[Tensor]) -> dict[str, Tensor]:
        """Returns the masks, bool, of the kept pieces, bool (pieces,) per pool."""

    def cost(self, counts: Sequence[int]) -> dict[str, float]:
        """Returns what is left when each pool keeps `counts` pieces: "params", and "macs", "bytes" and
        "latency_ms" where they are known; batch 1."""
