"""Mending: a group that fails its trial may pass with numbers in Python that follow it, or tied to another group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ofa.structure.coupling import Group
from ofa.structure.size_attributes import SizeAttribute
from ofa.structure.structure import Structure
from ofa.trial.size_attributes import find_attributes
from ofa.trial.ties import sharing, tied
from ofa.trial.trial import Trial


def mend(trial: Trial, failing: Sequence[Group]) -> tuple[Structure, list[Group]]:
    """Returns a structure in which some groups that failed now pass alone, and these groups.

    Args:
        trial: of the structure to mend. failing: the groups of it that do not pass alone.
    """
    structure, mended, left = trial.structure, [], []
    attributes: list[SizeAttribute] = list(structure.attributes)
    for group in failing:
        numbers = find_attributes(trial, group)
        if numbers is None:
            left.append(group)
        else:
            mended.append(group)
            attributes += numbers
    for groups in sharing(left):
        if (together := tied(groups)) is None:
            continue
        others = [other for other in structure.groups if other not in groups]
        position = structure.groups.index(groups[0])
        proposed = replace(structure, groups=(*others[:position], together, *others[position:]))
        numbers = find_attributes(trial.with_structure(proposed), together)
        if numbers is not None:
            structure = proposed
            mended.append(together)
            attributes += numbers
    return replace(structure, attributes=tuple(attributes)), mended
