"""A space of the once-for-all kind with 45 choices and made-up accuracy and latency: five stages of four blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.searching.problem import Problem
from ofa.arch import Arch
from ofa.choice import Choice
from ofa.space import Space
from search.candidates.figures import of_candidates
from search.candidates.space import Candidate, CandidateSpace

Floats = np.ndarray[Any, np.dtype[np.float64]]

INTERACTIONS = 0.02  # accuracy, standard deviation over uniform draws
NOISE = 0.001  # the same; of a candidate, not of an evaluation


def made_up_space(stages: int = 5, blocks: int = 4) -> Space:
    """Returns depths of 2 to 4, and in every block three widths and three kernel sizes."""
    choices = [Choice("depth", f"stages.{stage}", tuple(range(2, blocks + 1))) for stage in range(stages)]
    for stage in range(stages):
        for block in range(blocks):
            active = (((f"depth.stages.{stage}", block + 1),),)
            choices.append(Choice("width", f"stages.{stage}.{block}.expand", (24, 32, 48), active))
            choices.append(Choice("kernel_size", f"stages.{stage}.{block}.depthwise", (3, 5, 7), active))
    return Space(tuple(choices))


def made_up_problem(instance: int) -> Problem:
    """Returns the problem of one instance: gains with diminishing returns, interactions of pairs, and noise.

    The study's limit is the latency that a fifth of uniform draws keep, the second one that a twentieth do.
    """
    space = made_up_space()
    count, rng = len(space.choices), np.random.default_rng([instance, 11])
    gain, bend = rng.uniform(0.2, 1.0, count), rng.uniform(0.3, 1.2, count)
    cost, pairs = rng.uniform(0.5, 1.5, count), rng.normal(0, 1, (count, count))
    top = np.array([choice.values[-1] for choice in space.choices], dtype=np.float64)

    def levels(archs: Sequence[Arch]) -> Floats:
        return np.asarray(space.encode(archs) / top)

    draws = levels([space.sample(rng) for _ in range(1000)])
    center = draws.mean(axis=0)
    raw = np.einsum("ni,ij,nj->n", draws - center, pairs, draws - center)
    scale, shift = INTERACTIONS / raw.std(), raw.mean()

    def accuracy(candidate: Candidate) -> float:
        level = levels([candidate.arch])[0]
        worth = float((gain * level**bend).sum() / gain.sum())
        together = scale * (float((level - center) @ pairs @ (level - center)) - shift)
        luck = np.random.default_rng([instance, int(candidate.arch.digest[:8], 16)]).normal(0, NOISE)
        return float(np.clip(0.3 + 0.6 * worth + together + luck, 0, 1))

    def figures(archs: Sequence[Arch]) -> Mapping[str, Floats]:
        level = levels(archs)
        macs = 1e6 * (0.2 + (cost * level**2).sum(axis=1))
        return {
            "latency_ms": 0.05 + macs / 2.5e7 + 0.01 * (level > 0).sum(axis=1),
            "macs": macs,
            "params": 1e4 * (1 + level.sum(axis=1)),
        }

    candidates = CandidateSpace(space)
    times = figures([space.sample(rng) for _ in range(2000)])["latency_ms"]
    limits = tuple(float(np.quantile(times, share)) for share in (0.05, 0.2))
    floor, ceiling = accuracy(candidates.smallest), accuracy(candidates.largest)
    return Problem("synthetic", candidates, of_candidates(figures), accuracy, "latency_ms", limits, floor, ceiling)
