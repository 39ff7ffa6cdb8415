"""SearchPlan: everything that determines a search, and the candidates it starts with (warm start)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ofa.errors import InvalidInput, is_whole
from ofa.records import content_of
from ofa.space import Space
from search.candidates.figures import (
    LATENCY,
    CandidateFigures,
    Directions,
    Objective,
    directions,
    objective_metric,
    objective_names,
)
from search.candidates.limits import Limits, Target, meets
from search.candidates.metric_limits import metric_limits
from search.candidates.space import Candidate, CandidateSpace, Evaluate, Evaluation, Work
from search.run.scores import MetricFacts
from search.samplers import SamplerFactory, guided
from search.study.fidelities import Fidelities, work_of

# Makes the files of a trial, by name, from the space, its candidate, its evaluation and a title.
TrialFiles = Callable[[Space, Candidate, Evaluation, str], Mapping[str, str]]


@dataclass(frozen=True)
class SearchPlan:
    """A search over `space` for the best candidates within `limits`.

    `metrics` are those that `evaluate` scores, the task's objective first. `objective` is "pareto" (the metric and
    every predicted latency), "metric" or a list of names; `latencies` are the names of the latency figures, one per
    device (see `search.candidates.figures.directions`). `metric_limits` are the worst values allowed, by metric: a
    candidate that is worse is evaluated and not chosen. `identity` holds
    the digests of the study's inputs (such as the supernet's and the configuration's): a study of another identity is
    refused. `refusals` is how many proposals in a row may be over a limit or duplicates before a new candidate
    within the limits replaces the sampler's. `command` returns the shell command that extracts a trial, for its
    note. With `fidelities` a candidate is fine-tuned as well; `evaluate` is then the first step. `artifacts` is the
    folder of the trials' files, and `trial_files` makes them; without both none are written. `warm` are candidates of
    earlier searches; those within the limits are evaluated again before the sampler begins. `minutes` and `patience`
    may end it earlier, see `search.study.ending`.
    """

    name: str
    space: CandidateSpace
    figures: CandidateFigures
    evaluate: Evaluate
    evaluations: int
    metrics: tuple[MetricFacts, ...]
    limits: Limits = field(default_factory=Limits)
    metric_limits: Mapping[str, float] = field(default_factory=dict)
    objective: Objective = "pareto"
    latencies: tuple[str, ...] = (LATENCY,)
    sampler: SamplerFactory = guided
    seed: int = 0
    identity: Mapping[str, str] = field(default_factory=dict)
    refusals: int = 10
    command: Callable[[int], str] | None = None
    fidelities: Fidelities | None = None
    artifacts: Path | None = None
    trial_files: TrialFiles | None = None
    warm: tuple[Candidate, ...] = ()
    minutes: float | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        directions(self.objective, self.latencies, self.metrics)
        metric_limits(self.metric_limits, self.metrics)
        if self.fidelities is not None and self.fidelities.pruner is not None and len(self.objectives) > 1:
            raise InvalidInput(
                "Optuna's pruners need one objective: search.objective=metric, or leave search.tuning.pruner null"
            )
        for name in ("evaluations", "refusals"):
            value = getattr(self, name)
            if not is_whole(value, 1):
                raise InvalidInput(f"{name}={value!r} must be a whole number of at least 1")
        if self.seed < 0:
            raise InvalidInput(f"seed={self.seed!r} must be a whole number of at least 0")

    @property
    def work(self) -> Work:
        """What an evaluator does with a candidate."""
        return work_of(self.evaluate, self.fidelities)

    @property
    def objectives(self) -> Directions:
        """The names of the objectives and their directions."""
        return directions(self.objective, self.latencies, self.metrics)

    @property
    def metric(self) -> MetricFacts:
        """The metric that is optimized."""
        return objective_metric(objective_names(self.objective, self.latencies), self.metrics)

    @property
    def ordered_metrics(self) -> tuple[MetricFacts, ...]:
        """All metrics, that which is optimized first."""
        return (self.metric, *(metric for metric in self.metrics if metric != self.metric))

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of a study of this plan; a study with others cannot be continued by it."""
        return {
            **self.identity,
            "space": self.space.digest,
            "metric": content_of(self.metric),
            **({"metric_limits": dict(self.metric_limits)} if self.metric_limits else {}),
            "objective": self.objective if isinstance(self.objective, str) else list(self.objectives),
            "limits": self.limits.to_dict(),
            "seed": self.seed,
            "warm_start": digest_of_candidates(self.warm) if self.warm else None,
        }


def starting_candidates(plan: SearchPlan) -> list[Candidate]:
    """Returns the candidates that a search starts with, all within the limits.

    The smallest and the largest, for every target the largest uniform one that it allows, and those of a warm start.
    If Archs were evaluated in the supernet before, the best for each target replace the uniform ones, which
    all have the default settings.
    """
    uniform = [plan.space.at_level(level) for level in np.linspace(0, 1, 13)]
    figures = plan.figures(uniform)
    chosen = [uniform[0]]
    expected = plan.fidelities.expected if plan.fidelities is not None else None
    targets = [plan.limits.allowed(target) for target in plan.limits.targets] if expected is None else []
    for allowed in [plan.limits.hard, *targets]:
        allowed_levels = np.flatnonzero(meets(figures, allowed))
        chosen += [uniform[int(allowed_levels[-1])]] if len(allowed_levels) else []
    if expected is not None:
        chosen += [plan.space.candidate(arch) for arch in expected.best(plan.limits)]
    chosen += plan.warm
    is_feasible = meets(plan.figures(chosen), plan.limits.hard)
    return [candidate for candidate, feasible in dict(zip(chosen, is_feasible, strict=True)).items() if feasible]


def fitting(
    candidates: Sequence[Candidate], space: CandidateSpace, figures: CandidateFigures, allowed: Target
) -> list[Candidate]:
    """Returns the candidates in a space that meet the allowed figures, each once, as candidates of that space.

    Settings that the space does not search are left out; those missing from an earlier search take the default.
    """
    names = {parameter.name for parameter in space.parameters}
    fitted: dict[Candidate, None] = {}
    for candidate in candidates:
        try:
            fitted[
                space.candidate(
                    candidate.arch, {name: candidate.values[name] for name in candidate.values if name in names}
                )
            ] = None
        except InvalidInput:
            continue
    if not fitted:
        return []
    distinct = list(fitted)
    return [distinct[index] for index in np.flatnonzero(meets(figures(distinct), allowed))]


def digest_of_candidates(candidates: Sequence[Candidate]) -> str:
    """Returns 16 hex digits of candidates in their order."""
    return hashlib.sha256(json.dumps([candidate.key for candidate in candidates]).encode()).hexdigest()[:16]
