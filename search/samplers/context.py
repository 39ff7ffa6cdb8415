"""What a sampler may know of a study before it begins: the space, the free figures and the targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from optuna.samplers import BaseSampler

from search.candidate import Candidate
from search.candidate_space import CandidateSpace
from search.figures import CandidateFigures, Floats
from search.limits import Bools, Limits, meets


@dataclass(frozen=True)
class SamplerContext:
    """Given to every sampler's constructor; Optuna's own samplers use the seed alone.

    `step` counts the trials finished or running so far: a sampler made anew for (seed, step) proposes the same
    after a kill. `running` of them are evaluated just now, by other workers. `expected` gives the accuracy that
    candidates are expected to have in the supernet, (candidates,), where that was learned.
    """

    space: CandidateSpace
    figures: CandidateFigures
    limits: Limits
    seed: int
    step: int = 0
    running: int = 0
    expected: Callable[[Sequence[Candidate]], Floats] | None = None

    @property
    def step_seed(self) -> int:
        """A 32-bit seed for this step alone."""
        return int(np.random.SeedSequence([self.seed, self.step]).generate_state(1)[0])

    def feasible(self, candidates: Sequence[Candidate], allowed: Mapping[str, float]) -> Bools:
        """Returns a bool (candidates,): True where every predicted figure is allowed."""
        return meets(self.figures(candidates), allowed)


SamplerFactory = Callable[[SamplerContext], BaseSampler]
