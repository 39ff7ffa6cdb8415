"""Fidelities: a candidate is evaluated in steps, each dearer than the one before, and given up where it is poor.

First its free figures (see `search.study`), then its accuracy in the supernet without any training, then a short
fine-tuning, epoch by epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import Trial

from ofa.arch import Arch
from ofa.errors import InvalidInput
from search.candidate import Candidate
from search.evaluation import Evaluate, Evaluation
from search.figures import Floats
from search.limits import Limits
from search.tuning.halving import is_promoted
from search.tuning.tune import Gate


class Expected(Protocol):
    """The accuracy that candidates are expected to have in the supernet, learned before the first fine-tuning."""

    def learn(self, progress: Callable[[Mapping[str, Any]], None] | None = None, /) -> None:
        """Evaluates what is learned from, where that is not done yet."""

    def __call__(self, candidates: Sequence[Candidate], /) -> Floats:
        """Returns fractions, (candidates,)."""

    def best(self, limits: Limits, /) -> list[Arch]:
        """Returns Archs to begin with: the most accurate of those evaluated for each target."""


Tune = Callable[[Candidate, Gate], Evaluation]


@dataclass(frozen=True)
class Fidelities:
    """How candidates are evaluated in steps.

    Attributes:
        tune: fine-tunes a candidate, asking a gate after every epoch.
        rungs: epochs after which the worst are given up; 0 is before any fine-tuning.
        keep: the share of those at a rung that goes on, by successive halving.
        least: so many go on at each rung in any case, before there is anything to compare with.
        pruner: Optuna's, in place of successive halving; for one objective alone.
        expected: what samplers may know of a candidate's accuracy before it is evaluated.
    """

    tune: Tune
    rungs: tuple[int, ...] = (0,)
    keep: float = 0.5
    least: int = 8
    pruner: BasePruner | None = None
    expected: Expected | None = None

    def __post_init__(self) -> None:
        whole = all(isinstance(rung, int) and not isinstance(rung, bool) and rung >= 0 for rung in self.rungs)
        if not whole or list(self.rungs) != sorted(set(self.rungs)):
            raise InvalidInput(f"search.tuning.rungs={list(self.rungs)} must be epochs, rising, such as [0, 2]")
        if not 0 < self.keep <= 1 or self.least < 1:
            raise InvalidInput(
                f"search.tuning: keep={self.keep!r} must be above 0 and at most 1, least={self.least!r} 1 or more"
            )


def evaluate_in_steps(
    study: Study, trial: Trial, candidate: Candidate, evaluate: Evaluate, fidelities: Fidelities
) -> Evaluation:
    """Returns the Evaluation of a candidate whose free figures the trial carries.

    `evaluate` gives the accuracy in the supernet.
    """
    objectives = study.metric_names or []
    if fidelities.pruner is not None:
        study.pruner = fidelities.pruner

    def gate(epoch: int, accuracy: float) -> bool:
        if fidelities.pruner is not None:
            trial.report(accuracy, epoch)
            return not trial.should_prune()
        if epoch not in fidelities.rungs:
            return True
        return is_promoted(study, trial, epoch, accuracy, objectives, keep=fidelities.keep, least=fidelities.least)

    seconds = 0.0
    if 0 in fidelities.rungs:
        first = evaluate(candidate)
        seconds = first.seconds
        if not gate(0, first.accuracy):
            return replace(first, stopped_at=0)
    tuned = fidelities.tune(candidate, gate)
    return replace(tuned, seconds=tuned.seconds + seconds)
