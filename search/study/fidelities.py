"""Fidelities: a candidate is evaluated in steps, each costlier than the last; poor candidates stop early.

First its free figures (see `search.study`), then its quality in the supernet without any training, then a short
fine-tuning, epoch by epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import Trial

from ofa.arch import Arch
from search.candidates.figures import Floats, is_figure
from search.candidates.limits import Limits
from search.candidates.optuna_internals import trial_id
from search.candidates.pareto import best_first
from search.candidates.space import Candidate, Evaluate, Evaluation, Gate, Work
from search.candidates.trials import TrialProgress, figures_of
from search.run.scores import MetricFacts

RUNG = "quality_at_epoch_"  # of the metric with a sign, so that more is better


def is_promoted(
    study: Study, trial: Trial, epoch: int, quality: float, objectives: Sequence[str], *, keep: float, least: int
) -> bool:
    """Returns whether a trial is among the best `keep` (a fraction) of those that reached a rung, itself included.

    The first `least` of a rung are all promoted. The trial's quality at the rung is stored for later comparisons.

    Args:
        quality: of the metric at the rung, larger is better.
        objectives: the metric and figures, in the order of the study.
    """
    trial.set_user_attr(f"{RUNG}{epoch}", quality)
    points = []
    for other in study.get_trials(deepcopy=False):
        other_quality = other.user_attrs.get(f"{RUNG}{epoch}")
        if other_quality is not None and trial_id(other) != trial_id(trial):
            points.append(_point(float(other_quality), figures_of(other), objectives))
    if len(points) < least:
        return True
    figures = {name: float(trial.user_attrs[name]) for name in objectives if is_figure(name)}
    points.append(_point(quality, figures, objectives))
    order = best_first(np.array(points))
    return order.index(len(points) - 1) < max(1, round(keep * len(points)))


def _point(quality: float, figures: Mapping[str, float], objectives: Sequence[str]) -> list[float]:
    """The objectives, all to be minimized."""
    return [figures[name] if is_figure(name) else -quality for name in objectives]


class Expected(Protocol):
    """The quality that candidates are expected to have in the supernet, learned before the first fine-tuning."""

    def learn(self, progress: Callable[[TrialProgress], None] | None = None, /) -> None:
        """Evaluates the Archs to learn from, unless that is done."""

    def __call__(self, candidates: Sequence[Candidate], /) -> Floats:
        """Returns the expected qualities, larger is better, (candidates,)."""

    def best(self, limits: Limits, /) -> list[Arch]:
        """Returns Archs to start from: the best evaluated one for each target."""


Tune = Callable[[Candidate, Gate], Evaluation]


@dataclass(frozen=True)
class Fidelities:
    """The steps in which candidates are evaluated.

    Attributes:
        tune: fine-tunes a candidate and asks a gate after every epoch whether to continue.
        rungs: epochs after which the worst candidates stop; 0 is before any fine-tuning.
        keep: the share of a rung that continues, by successive halving.
        least: how many continue at each rung in any case, before there are enough to compare with.
        pruner: an Optuna pruner in place of successive halving; for a single objective.
        expected: the quality of candidates that samplers may expect before an evaluation.
    """

    tune: Tune
    rungs: tuple[int, ...] = (0,)
    keep: float = 0.5
    least: int = 8
    pruner: BasePruner | None = None
    expected: Expected | None = None


def work_of(evaluate: Evaluate, fidelities: Fidelities | None) -> Work:
    """Returns what an evaluator does with a candidate: its scores in the supernet, then its fine-tuning where one is.

    The gate is asked where a candidate can be given up alone.
    """

    def work(candidate: Candidate, gate: Gate) -> Evaluation:
        if fidelities is None:
            return evaluate(candidate)

        def goes_on(epoch: int, value: float) -> bool:
            return gate(epoch, value) if fidelities.pruner is not None or epoch in fidelities.rungs else True

        seconds = 0.0
        if 0 in fidelities.rungs:
            first = evaluate(candidate)
            seconds = first.seconds
            if not goes_on(0, first.score.value):
                return replace(first, stopped_at=0)
        tuned = fidelities.tune(candidate, goes_on)
        return replace(tuned, seconds=tuned.seconds + seconds)

    return work


def gate_of(study: Study, trial: Trial, fidelities: Fidelities | None, metric: MetricFacts) -> Gate:
    """Returns what says whether the evaluation of a trial goes on, from the trials of the study at that moment.

    `metric` is the objective among the scores.
    """

    def gate(epoch: int, value: float) -> bool:
        assert fidelities is not None
        if fidelities.pruner is not None:
            trial.storage.set_trial_intermediate_value(trial_id(trial), epoch, float(value))
            return not trial.should_prune()
        quality, keep, least = metric.quality(value), fidelities.keep, fidelities.least
        return is_promoted(study, trial, epoch, quality, study.metric_names or [], keep=keep, least=least)

    return gate
