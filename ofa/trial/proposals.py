"""Proposals: what labels propose is accepted together, or in the largest parts that pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from ofa.inputs import Inputs
from ofa.structure.blocks import Stage
from ofa.structure.coupling import Group
from ofa.structure.structure import Structure
from ofa.trial.mending import mend
from ofa.trial.settling import settle_stages
from ofa.trial.size_attributes import narrow_failure
from ofa.trial.trial import Trial, crash_reason

_TOGETHER = "not together with the others"


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


def accept(
    proposals: Sequence[Proposal], run: Callable[[Sequence[Proposal]], str | None]
) -> tuple[list[Proposal], dict[str, str]]:
    """Returns the proposals that pass together, and why each of the others does not.

    A set that fails beside what was accepted before is halved, so that a few bad ones among many cost a
    logarithm of their number each.

    Args:
        proposals: in order of preference. run: returns why a set does not pass, None where it does.
    """
    accepted: list[Proposal] = []
    refused: dict[str, str] = {}
    left = [proposals] if proposals else []
    while left:
        part = left.pop()
        reason = run([*accepted, *part])
        if reason is None:
            accepted.extend(part)
        elif len(part) > 1:
            middle = len(part) // 2
            left += [part[middle:], part[:middle]]  # the first half is next
        else:
            alone = run(part) if accepted else reason
            refused[part[0].key] = f"{_TOGETHER}: {reason}" if alone is None else alone
    return accepted, refused


def try_all(model: nn.Module, example: Inputs, structure: Structure, original: nn.Module) -> Verdict:
    """Returns the part of a structure that passes its trial, with a reason for each part that does not.

    Args:
        model: a private copy. example: inputs on the CPU. structure: what labels propose.
        original: the user's model, whose tensors a closure may still read.
    """
    trial = Trial(model, example, structure, original)
    stages, without_depth = settle_stages(trial)
    if stages != structure.stages:
        structure = replace(structure, stages=stages)
        trial = trial.with_structure(structure)
    accepted, refused = _accept(trial)
    alone = {group.name for group in structure.groups if _fails_alone(group, refused)}
    structure, mended = mend(trial, {name: refused[f"width.{name}"] for name in alone})
    if mended:
        repaired = [Proposal(f"width.{group.name}", group) for group in mended]
        accepted, again = accept([*accepted, *repaired], partial(_run, trial.with_structure(structure)))
        keys = {proposal.key for proposal in proposals_of(structure)} - {proposal.key for proposal in repaired}
        refused = {key: reason for key, reason in refused.items() if key in keys} | again
    refused |= {f"depth.{name}": reason for name, reason in without_depth.items()}
    passed = {proposal.key for proposal in accepted}
    fixed = dict(structure.fixed)
    for group in structure.groups:
        if f"width.{group.name}" in refused:
            for member in group.members:
                fixed.setdefault((member.source, member.dim), refused[f"width.{group.name}"])
    return Verdict(
        replace(
            structure,
            groups=tuple(group for group in structure.groups if f"width.{group.name}" in passed),
            stages=tuple(stage for stage in structure.stages if f"depth.{stage.name}" in passed),
            kernels=tuple(path for path in structure.kernels if f"kernel_size.{path}" in passed),
            fixed=fixed,
            attributes=tuple(number for number in structure.attributes if f"width.{number.group}" in passed),
        ),
        refused,
    )


def _accept(trial: Trial) -> tuple[list[Proposal], dict[str, str]]:
    """Accepts what a structure proposes; where not all passes together, what crashes alone is left out first.

    One run for each width finds that, while halving would need a whole trial for each part of the others.
    """
    proposals, run = proposals_of(trial.structure), partial(_run, trial)
    if not proposals or run(proposals) is None:
        return proposals, {}
    failures = {group.name: narrow_failure(trial, group) for group in trial.structure.groups}
    crashes = {
        f"width.{name}": crash_reason(failure.error) for name, failure in failures.items() if failure is not None
    }
    accepted, refused = accept([proposal for proposal in proposals if proposal.key not in crashes], run)
    return accepted, {**refused, **crashes}


def _run(trial: Trial, proposals: Sequence[Proposal]) -> str | None:
    items = [proposal.item for proposal in proposals]
    return trial.run(
        [item for item in items if isinstance(item, Group)],
        [item for item in items if isinstance(item, Stage)],
        [item for item in items if isinstance(item, str)],
    )


def _fails_alone(group: Group, refused: Mapping[str, str]) -> bool:
    return not refused.get(f"width.{group.name}", _TOGETHER).startswith(_TOGETHER)
