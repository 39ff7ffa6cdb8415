"""The search for numbers in Python that let a group shrink which fails its trial without them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ofa.structure.coupling import Group
from ofa.structure.size_attributes import SizeAttribute
from ofa.trial.number_candidates import Candidates, failing_modules
from ofa.trial.trial import FIRST, Trial
from ofa.views.view import build, cloned, differentiable

_PROBES = 24  # narrow runs for one group
_TRIALS = 6  # of the first checks for one group: each is a few runs


@dataclass(frozen=True)
class Finding:
    """The numbers with which a group passes its trial alone, or None, and the modules whose code failed on the way."""

    attributes: tuple[SizeAttribute, ...] | None
    places: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """What a narrow model raised, the model, and how many operations it had done until then."""

    error: BaseException
    view: nn.Module
    done: int


class _Budget:
    """How much may still be tried for one group."""

    def __init__(self) -> None:
        self.probes = _PROBES
        self.trials = _TRIALS


def find_attributes(trial: Trial, group: Group, *, fails: bool = True) -> Finding:
    """Returns numbers that follow `group` so that it passes the first checks alone, or none where no few numbers do.

    A narrow run that fails names the code whose numbers are too large; they are lowered, and it is run again. It has to
    get further then. Where it runs but is wrong, numbers around the group's layers are tried.

    Args:
        trial: of a structure that has this group. group: what shall shrink.
        fails: whether the group is known not to pass without such numbers.
    """
    candidates = Candidates(trial.model, group)
    budget = _Budget()
    tried: set[frozenset[SizeAttribute]] = set()
    places: dict[str, None] = {}

    def search(attributes: tuple[SizeAttribute, ...], reached: int) -> tuple[SizeAttribute, ...] | None:
        key = frozenset(attributes)
        if key in tried or budget.probes == 0:
            return None
        tried.add(key)
        budget.probes -= 1
        with_them = trial.with_structure(replace(trial.structure, attributes=attributes))
        failure = narrow_failure(with_them, group)
        if failure is not None:
            places.update(dict.fromkeys(failing_modules(failure.error, failure.view)))
            if failure.done <= reached:
                return None
            sets = candidates.after(failure.error, failure.view)
        elif budget.trials == 0:
            return None
        else:
            budget.trials -= 1
            if (attributes or not fails) and with_them.failure([group], [], [], FIRST) is None:
                return attributes
            sets = candidates.around()
        taken = {(attribute.path, attribute.name) for attribute in attributes}
        for proposal in sets:
            new = tuple(attribute for attribute in proposal if (attribute.path, attribute.name) not in taken)
            attributes_tried = search((*attributes, *new), -1 if failure is None else failure.done) if new else None
            if attributes_tried is not None:
                return attributes_tried
        return None

    return Finding(search((), -1), tuple(places))


def narrow_failure(trial: Trial, group: Group) -> Failure | None:
    """Returns what the model raises without half of the group's units, and the model that did; None if it runs."""
    units = [max(1, other.units // 2) if other.name == group.name else other.units for other in trial.structure.groups]
    view = build(trial.views.plan(units, {}, {}), differentiable, cloned)
    counter = _Counter()
    try:
        with torch.no_grad(), counter:
            trial.example.call_on_copy(view)
    except Exception as error:
        return Failure(error, view, counter.done)
    return None


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.done = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.done += 1
        return func(*args, **(kwargs or {}))
