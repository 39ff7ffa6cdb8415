"""Genes as decisions: the choices of an Arch and the parameters beside it, one after the other.

Values are those of a genome (see `search.samplers.genome`): the index of a value, or the place of a number on its
scale. A place from 0 to 1 stands for each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ofa.arch import KINDS
from ofa.space import Choice
from search.candidate import Setting
from search.candidate_space import CandidateSpace
from search.parameters import Number, Parameter, is_active

STEPS = 9  # values that a number is looked at, where it has to be one of few
GENE_KINDS = (*KINDS, "option", "number")


@dataclass(frozen=True)
class Gene:
    """The decision of one column of a genome."""

    column: int
    of: Choice | Parameter

    @property
    def key(self) -> str:
        """The name in a candidate."""
        return self.of.key if isinstance(self.of, Choice) else self.of.name

    @property
    def kind(self) -> str:
        """One of `GENE_KINDS`."""
        if isinstance(self.of, Choice):
            return self.of.kind
        return "number" if isinstance(self.of, Number) else "option"

    @property
    def values(self) -> list[float]:
        """All values, ascending; `STEPS` of them for a number."""
        if isinstance(self.of, Number):
            return [step / (STEPS - 1) for step in range(STEPS)]
        return [float(number) for number in range(len(self.of.values))]

    @property
    def is_open(self) -> bool:
        """Whether there is more than one value."""
        return isinstance(self.of, Number) or len(self.of.values) > 1

    def place(self, value: float) -> float:
        """Returns where a value lies from 0 to 1: the middle of its share, or a number's place itself."""
        return value if isinstance(self.of, Number) else (value + 0.5) / len(self.of.values)

    def setting(self, value: float) -> Setting:
        """Returns the value as a candidate has it."""
        return self.of.at(value) if isinstance(self.of, Number) else self.of.values[int(value)]

    def counts(self, taken: Mapping[str, Setting]) -> bool:
        """Returns whether the gene counts beside those before it that did, by their keys."""
        if isinstance(self.of, Choice):
            return self.of.is_active({key: value for key, value in taken.items() if isinstance(value, int)})
        return is_active(self.of, taken)

    def nearest_first(self, place: float) -> list[float]:
        """Returns the values by their distance from a place; the first is what the place stands for."""
        own = [place] if isinstance(self.of, Number) else []
        return list(dict.fromkeys([*own, *sorted(self.values, key=lambda value: abs(self.place(value) - place))]))


def genes_of(space: CandidateSpace) -> tuple[Gene, ...]:
    """Returns the genes of a space, a column each, depths before what depends on them."""
    return tuple(Gene(column, one) for column, one in enumerate((*space.archs.choices, *space.parameters)))
