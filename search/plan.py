"""SearchPlan: all that decides a search, and the candidates it begins with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ofa.errors import InvalidInput
from search.candidate import Candidate
from search.candidate_space import CandidateSpace
from search.evaluation import Evaluate
from search.fidelities import Fidelities
from search.figures import LATENCY, CandidateFigures
from search.limits import Limits, meets
from search.objectives import Directions, Objective, directions
from search.samplers import SamplerFactory, guided
from search.warm_start import digest_of_candidates


@dataclass(frozen=True)
class SearchPlan:
    """A search over `space` for the candidates of best accuracy within `limits`.

    `objective` is "pareto" (accuracy up, every predicted latency down), "accuracy" or a list of names; `latencies`
    are the names of the latency figures, one a device (see `search.objectives.directions`). `identity` says from what
    the study is made (such as the supernet's digest and the configuration's): a study of another identity is
    refused. `refusals` is how many proposals in a row may be over a limit or known already before a candidate
    that is neither is put in the sampler's place. `command` returns the shell command that extracts a trial, for its
    note. With `fidelities` a candidate is fine-tuned as well; `evaluate` is then the first step. `artifacts` is the
    folder of the trials' files, without which none are written. `warm` are candidates of earlier searches, evaluated
    anew before the sampler begins where they are within the limits.
    """

    name: str
    space: CandidateSpace
    figures: CandidateFigures
    evaluate: Evaluate
    evaluations: int
    limits: Limits = field(default_factory=Limits)
    objective: Objective = "pareto"
    latencies: tuple[str, ...] = (LATENCY,)
    sampler: SamplerFactory = guided
    seed: int = 0
    identity: Mapping[str, str] = field(default_factory=dict)
    refusals: int = 10
    command: Callable[[int], str] | None = None
    fidelities: Fidelities | None = None
    artifacts: Path | None = None
    warm: tuple[Candidate, ...] = ()

    def __post_init__(self) -> None:
        directions(self.objective, self.latencies)
        if self.fidelities is not None and self.fidelities.pruner is not None and len(self.objectives) > 1:
            raise InvalidInput(
                "Optuna's pruners need one objective: search.objective=accuracy, or leave search.tuning.pruner null"
            )
        for name in ("evaluations", "refusals"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidInput(f"{name}={value!r} must be a whole number of at least 1")
        if self.seed < 0:
            raise InvalidInput(f"seed={self.seed!r} must be a whole number of at least 0")

    @property
    def objectives(self) -> Directions:
        """The names of what is optimised and their directions."""
        return directions(self.objective, self.latencies)

    @property
    def attributes(self) -> dict[str, Any]:
        """What a study of this plan carries, and must carry to be continued by it."""
        return {
            **self.identity,
            "space": self.space.digest,
            "objective": self.objective if isinstance(self.objective, str) else list(self.objectives),
            "limits": self.limits.to_dict(),
            "seed": self.seed,
            "warm_start": digest_of_candidates(self.warm) if self.warm else None,
        }


def starting_candidates(plan: SearchPlan) -> list[Candidate]:
    """Returns the candidates that a search begins with, all within the limits.

    The smallest and the largest, for every target the largest uniform one that it allows, and those of a warm start.
    Where Archs were evaluated in the supernet before, the most accurate for each target are in place of the uniform
    ones: all of them have the default settings, and others are to be seen soon.
    """
    uniform = [plan.space.at_level(level) for level in np.linspace(0, 1, 13)]
    known = plan.figures(uniform)
    chosen = [uniform[0]]
    expected = plan.fidelities.expected if plan.fidelities is not None else None
    targets = [plan.limits.allowed(target) for target in plan.limits.targets] if expected is None else []
    for allowed in [plan.limits.hard, *targets]:
        kept = np.flatnonzero(meets(known, allowed))
        chosen += [uniform[int(kept[-1])]] if len(kept) else []
    if expected is not None:
        chosen += [plan.space.candidate(arch) for arch in expected.best(plan.limits)]
    chosen += plan.warm
    within = meets(plan.figures(chosen), plan.limits.hard)
    return [one for one, good in dict(zip(chosen, within, strict=True)).items() if good]
