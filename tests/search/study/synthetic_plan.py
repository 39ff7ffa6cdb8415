"""A plan over an analytic space, with an oracle that counts what it is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from ofa.arch import Arch
from search.candidates.limits import Limits
from search.candidates.space import Candidate, Evaluation
from search.experiments import amc, filter_policy
from search.samplers import evolution, guided, nsga2, random, tpe
from search.study.plan import SearchPlan
from tests.search.scored import ACCURACY, evaluation
from tests.search.synthetic import Oracle, block_space

ORACLE = Oracle(block_space(stages=2, blocks=3))


MEDIAN = float(
    np.median(ORACLE.figures([ORACLE.space.sample(np.random.default_rng(i)) for i in range(100)])["latency_ms"])
)


AMC = pytest.param(partial(amc, warmup=6, hidden=(16, 16), batch_size=8), marks=pytest.mark.slow)  # it trains a lot


SAMPLERS = [guided, evolution, tpe, nsga2, random, partial(filter_policy, samples=4, tries=16), AMC]


class Counting:
    """Evaluates by the oracle and remembers what it was asked."""

    def __init__(self, accuracy: Callable[[Arch], float] = ORACLE.accuracy) -> None:
        self.accuracy, self.asked = accuracy, list[Arch]()

    def __call__(self, candidate: Candidate) -> Evaluation:
        self.asked.append(candidate.arch)
        return evaluation(self.accuracy(candidate.arch), 0.001)


def plan(evaluate: Any = None, **changes: Any) -> SearchPlan:
    made = SearchPlan(
        name="s",
        space=ORACLE.candidates,
        figures=ORACLE.candidate_figures,
        evaluate=evaluate or Counting(),
        evaluations=16,
        metrics=(ACCURACY,),
        sampler=evolution,
        limits=Limits(({"latency_ms": MEDIAN}, {"latency_ms": 0.9 * MEDIAN}), 0.02),
        identity={"supernet": "abc", "config": "def"},
    )
    return replace(made, **changes)
