"""Detail: a table about a network's outputs that reports show beside the scores, such as figures by class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ofa.task.batch import Batch

Table = Sequence[Mapping[str, Any]]  # rows of JSON-able values by column, alike in every row


@dataclass(frozen=True, kw_only=True)
class Detail:
    """A table of figures; nothing is chosen by them.

    Attributes:
        name: such as "classes".
        statistics: and `additive`: as a Metric's.
        rows: sums (K,) float64, or all entries -> the table.
        units: of columns that are not plain numbers: "%" shows fractions in percent.
    """

    name: str
    statistics: Callable[[Any, Batch], Any]
    rows: Callable[[Any], Table]
    additive: bool = True
    units: Mapping[str, str] | None = None

    @property
    def title(self) -> str:
        """The table's name for people."""
        return self.name.replace("_", " ")
