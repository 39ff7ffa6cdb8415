"""Proposals: what labels propose is accepted together, mended, or in the largest parts that pass."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from ofa.inputs import Inputs
from ofa.structure.blocks import Stage
from ofa.structure.coupling import Group
from ofa.structure.structure import Structure
from ofa.trial.acceptance import TOGETHER, accept
from ofa.trial.kinship import kind_of
from ofa.trial.mending import mend, mend_together
from ofa.trial.settling import settle_stages
from ofa.trial.trial import CRASH, Failure, Trial
from ofa.trial.weights import Weights


@dataclass(frozen=True)
class Verdict:
    """The structure that passed, and why the rest was refused, by "kind.name"."""

    structure: Structure
    refused: dict[str, str]


@dataclass(frozen=True)
class Proposal:
    """One width, depth or kernel that may vary: its key, such as "width.stem.conv", and the thing itself."""

    key: str
    item: Group | Stage | str


def proposals_of(structure: Structure) -> list[Proposal]:
    """Returns everything that a structure proposes: widths, then depths, then kernels."""
    widths = [Proposal(f"width.{group.name}", group) for group in structure.groups]
    depths = [Proposal(f"depth.{stage.name}", stage) for stage in structure.stages]
    return widths + depths + [Proposal(f"kernel_size.{path}", path) for path in structure.kernels]


# Proposals that pass or fail alike: the widths of one kind in a row of blocks, or any other proposal alone.
Family = tuple[Proposal, ...]


def families(proposals: Sequence[Proposal]) -> list[Family]:
    """Returns proposals with the widths of one kind together."""
    by_kind: dict[object, list[Proposal]] = {}
    for proposal in proposals:
        item = proposal.item
        by_kind.setdefault(kind_of(item) if isinstance(item, Group) else proposal.key, []).append(proposal)
    return [tuple(family) for family in by_kind.values()]


def try_all(model: nn.Module, example: Inputs, structure: Structure, original: nn.Module, weights: Weights) -> Verdict:
    """Returns the part of a structure that passes its trial, with a reason for each part that does not.

    Args:
        model: a private copy. example: inputs on the CPU. structure: what labels propose.
        original: the user's model, whose tensors a closure may still read. weights: those of the copy.
    """
    trial = Trial(model, example, structure, original, weights)
    stages, without_depth = settle_stages(trial)
    if stages != structure.stages:
        trial = trial.with_structure(replace(structure, stages=stages))
    accepted, refused, trial = _settled(trial)
    again = [item for item in proposals_of(trial.structure) if refused.get(item.key, "").startswith(TOGETHER)]
    if again:  # what these could not be together with may have been refused after them
        families, left = accept([(item,) for item in (*accepted, *again)], partial(_judged, trial))
        accepted = [item for family in families for item in family]
        reasons = {family[0].key: reason for family, reason in left}
        refused = {key: reasons.get(key, reason) for key, reason in refused.items()} | reasons
        refused = {key: reason for key, reason in refused.items() if key not in {item.key for item in accepted}}
    refused |= {f"depth.{name}": reason for name, reason in without_depth.items()}
    return Verdict(_part(trial.structure, {item.key for item in accepted}, refused), refused)


def _settled(trial: Trial) -> tuple[list[Proposal], dict[str, str], Trial]:
    """Returns what passes together, why the rest does not, and the trial of the structure as it was mended."""
    items, refused = families(proposals_of(trial.structure)), dict[str, str]()
    tried = set[str]()  # families by the first of them, and widths, that were to be mended
    failing, unmended = dict[str, str](), dict[str, str]()  # reasons by the name of a group
    assumed = dict[str, Proposal]()  # refused with the reason of the first of their family, until nothing mends them
    while True:
        accepted, left = accept(items, partial(_judged, trial), once=True)
        items, apart = list(accepted), list[Family]()
        for family, reason in left:
            if len(family) == 1:
                refused[family[0].key] = reason
                if not reason.startswith(TOGETHER) and family[0].key not in tried:
                    failing |= {group.name: reason for group in _groups(family)}
                    tried.add(family[0].key)
                continue
            name = f"all like {family[0].key}"
            structure = None if name in tried else mend_together(trial, _groups(family))
            tried.add(name)
            if structure is not None:
                items.append(family)
            else:
                structure = _without_numbers(trial.structure, family)
                apart.append(family)
            trial = trial.with_structure(structure)
        for family in apart:
            if crash := _crash(trial, family[0]):  # so it would beside others, which need not be run
                refused |= {item.key: crash for item in family}
                failing |= {group.name: crash for group in _groups(family)}
                tried |= {item.key for item in family}
                assumed |= {item.key: item for item in family[1:]}
            else:
                items += [(item,) for item in family]
        structure, mended = mend(trial, unmended | failing) if failing else (trial.structure, [])
        rest = {group.name for group in structure.groups} - {group.name for group in mended}
        unmended, failing = {name: why for name, why in (unmended | failing).items() if name in rest}, {}
        if mended:
            trial = trial.with_structure(structure)
            repaired = [Proposal(f"width.{group.name}", group) for group in mended]
            items += [(item,) for item in repaired]
            keys = {item.key for item in proposals_of(structure)} - {item.key for item in repaired}
            refused = {key: reason for key, reason in refused.items() if key in keys}
        elif not left:
            crashes = {key: _crash(trial, item) for key, item in assumed.items() if key in refused}
            refused |= {key: reason for key, reason in crashes.items() if reason}
            free = [key for key, reason in crashes.items() if not reason]
            if not free:
                return [item for family in accepted for item in family], refused, trial
            items += [(assumed[key],) for key in free]
            refused = {key: reason for key, reason in refused.items() if key not in free}
            tried -= set(free)
            assumed.clear()


def _crash(trial: Trial, item: Proposal) -> str | None:
    failure = _judged(trial, [(item,)], (CRASH,))
    return failure.reason if failure else None


def _without_numbers(structure: Structure, family: Family) -> Structure:
    names = {group.name for group in _groups(family)}
    return replace(
        structure, attributes=tuple(attribute for attribute in structure.attributes if attribute.group not in names)
    )


def _part(structure: Structure, passed: Collection[str], refused: Mapping[str, str]) -> Structure:
    """The part of a structure that passed, with the reasons for the widths that did not."""
    fixed = dict(structure.fixed)
    for group in structure.groups:
        if f"width.{group.name}" in refused:
            for member in group.members:
                fixed.setdefault((member.source, member.dim), refused[f"width.{group.name}"])
    return replace(
        structure,
        groups=tuple(group for group in structure.groups if f"width.{group.name}" in passed),
        stages=tuple(stage for stage in structure.stages if f"depth.{stage.name}" in passed),
        kernels=tuple(path for path in structure.kernels if f"kernel_size.{path}" in passed),
        fixed=fixed,
        attributes=tuple(number for number in structure.attributes if f"width.{number.group}" in passed),
    )


def _groups(family: Family) -> list[Group]:
    return [proposal.item for proposal in family if isinstance(proposal.item, Group)]


def _judged(trial: Trial, part: Sequence[Family], only: Collection[str] | None) -> Failure | None:
    items = [proposal.item for family in part for proposal in family]
    return trial.failure(
        [item for item in items if isinstance(item, Group)],
        [item for item in items if isinstance(item, Stage)],
        [item for item in items if isinstance(item, str)],
        only,
    )
