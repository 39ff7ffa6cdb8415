"""Mending: a group that fails its trial may pass with numbers in Python that follow it, or tied to other groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ofa.structure.coupling import Group
from ofa.structure.size_attributes import SizeAttribute
from ofa.structure.structure import Structure
from ofa.trial.comparison import NOT_FINITE
from ofa.trial.kinship import Kind, kind_of, like_paths, transferred
from ofa.trial.size_attributes import Finding, find_attributes
from ofa.trial.ties import partners, tied
from ofa.trial.trial import FIRST, Trial

_TIES = 6  # that may be tried for one group
_SEARCHES = 2  # for groups of one kind that may end without numbers


def mend_together(trial: Trial, groups: Sequence[Group]) -> Structure | None:
    """Returns the structure with numbers for groups of one kind, all of which fail; None where one stays without.

    Only the first of them is tried, alone.
    """
    failure = trial.failure(groups[:1], [], [])
    if failure is None or failure.reason.endswith(NOT_FINITE):
        return None
    numbers = find_attributes(trial, groups[0]).attributes
    if numbers is None:
        return None
    every = list(numbers)
    for other in groups[1:]:
        own = transferred(numbers, groups[0], other, trial.model)
        if own is None:
            return None
        every += own
    return replace(trial.structure, attributes=(*trial.structure.attributes, *dict.fromkeys(every)))


class _Search:
    """Finds numbers for one group after the other: those that served others of its kind, or else by trials."""

    def __init__(self) -> None:
        self._served: dict[Kind, tuple[Group, tuple[SizeAttribute, ...]]] = {}
        self._failed: dict[Kind, list[tuple[Group, Finding]]] = {}

    def finding(self, trial: Trial, group: Group) -> Finding:
        """Returns the numbers that let `group` vary, or where the code fails."""
        kind = kind_of(group)
        if kind in self._served:
            like, numbers = self._served[kind]
            if (own := transferred(numbers, like, group, trial.model)) is not None:
                return Finding(own, ())
        failed = self._failed.setdefault(kind, [])
        if len(failed) >= _SEARCHES:
            like, other = failed[0]
            paths = like_paths(like, group)
            return Finding(None, tuple(paths.get(path, path) for path in other.places))
        finding = find_attributes(trial, group)
        if finding.attributes is None:
            failed.append((group, finding))
        else:
            self._served.setdefault(kind, (group, finding.attributes))
        return finding


def mend(trial: Trial, failing: Mapping[str, str]) -> tuple[Structure, list[Group]]:
    """Returns a structure in which some groups that failed may pass now, and these groups.

    Of several groups of a kind the first has passed the first checks, the others have the like numbers.

    Args:
        trial: of the structure to mend. failing: why groups of it do not pass alone, by name.
    """
    structure, mended = _with_more_units(trial, failing)
    mended_names = {group.name for group in mended}
    left: list[tuple[Group, Finding]] = []
    attributes: list[SizeAttribute] = list(structure.attributes)
    search = _Search()
    for group in [group for group in structure.groups if group.name in failing.keys() - mended_names]:
        finding = search.finding(trial.with_structure(structure), group)
        if finding.attributes is None:
            left.append((group, finding))
        else:
            mended.append(group)
            attributes += finding.attributes
    while left:
        (group, finding), *left = left
        extended = _with_others(trial.with_structure(structure), group, [other for other, _ in left], finding)
        if extended is None:
            continue
        structure, together, numbers, used = extended
        left = [entry for entry in left if entry[0] not in used]
        mended.append(together)
        attributes += numbers
    return replace(structure, attributes=tuple(attributes)), mended


def _with_more_units(trial: Trial, failing: Mapping[str, str]) -> tuple[Structure, list[Group]]:
    """Returns a structure in which those groups keep two units that are not finite with one, and these groups."""
    structure, mended = trial.structure, []
    for group in structure.groups:
        if group.units > 2 and failing.get(group.name, "").endswith(NOT_FINITE):
            wider = replace(group, least=2)
            groups = tuple(wider if other is group else other for other in structure.groups)
            proposed = replace(structure, groups=groups)
            if trial.with_structure(proposed).failure([wider], [], [], FIRST) is None:
                structure = proposed
                mended.append(wider)
    return structure, mended


def _with_others(
    trial: Trial, group: Group, others: Sequence[Group], finding: Finding
) -> tuple[Structure, Group, tuple[SizeAttribute, ...], list[Group]] | None:
    """Ties a group to others until it passes; returns the structure, the tie, its numbers, and the groups in it.

    Args:
        trial: of the structure so far. group: fails alone. others: that fail, too. finding: how the group failed.
    """
    modules = dict(trial.model.named_modules())
    tried: set[frozenset[str]] = set()

    def grow(
        chosen: list[Group], finding: Finding
    ) -> tuple[Structure, Group, tuple[SizeAttribute, ...], list[Group]] | None:
        free = [other for other in others if other not in chosen]
        for more in partners(modules, chosen, free, finding.places):
            both = [*chosen, *more]
            key = frozenset(number.name for number in both)
            together = tied(both)
            if together is None or key in tried or len(tried) == _TIES:
                continue
            tried.add(key)
            apart = [other for other in trial.structure.groups if other not in both]
            position = trial.structure.groups.index(group)
            proposed = replace(trial.structure, groups=(*apart[:position], together, *apart[position:]))
            outcome = find_attributes(trial.with_structure(proposed), together, fails=False)
            if outcome.attributes is not None:
                return proposed, together, outcome.attributes, both
            if deeper := grow(both, outcome):
                return deeper
        return None

    return grow([group], finding)
