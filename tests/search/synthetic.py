"""A Space of the once-for-all kind with analytic accuracy and latency, to try a sampler on in seconds.

No network is behind it: accuracy has diminishing returns and interactions, latency is not quite the MACs.
Good for tests and for comparing samplers; says nothing about any real supernet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ofa.arch import Arch
from ofa.choice import Choice
from ofa.space import Space
from search.candidates.figures import CandidateFigures, of_candidates
from search.candidates.space import CandidateSpace

KERNELS = (3, 5, 7)
WIDTHS = (24, 32, 48)


def block_space(stages: int = 5, blocks: int = 4) -> Space:
    """Returns a Space of stages with a depth of 2 up to `blocks`, and a width and kernel size a block."""
    choices = [Choice("depth", f"stages.{stage}", tuple(range(min(2, blocks), blocks + 1))) for stage in range(stages)]
    for stage in range(stages):
        for block in range(blocks):
            active = (((f"depth.stages.{stage}", block + 1),),)
            choices.append(Choice("width", f"stages.{stage}.{block}.expand", WIDTHS, active))
            choices.append(Choice("kernel_size", f"stages.{stage}.{block}.depthwise", KERNELS, active))
    return Space(tuple(choices))


@dataclass(frozen=True)
class Oracle:
    """Analytic figures and accuracy over a `block_space`, fixed by the seed."""

    space: Space
    seed: int = 0
    noise: float = 0.0  # standard deviation of the accuracy, the same for equal Archs

    @property
    def candidates(self) -> CandidateSpace:
        """The space as a search has it."""
        return CandidateSpace(self.space)

    @property
    def candidate_figures(self) -> CandidateFigures:
        """The figures as a search has them."""
        return of_candidates(self.figures)

    @cached_property
    def _tables(self) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
        rng = np.random.default_rng([self.seed, 3])
        count = len(self.space.choices)
        return {
            "gain": rng.uniform(0.2, 1.0, count),
            "bend": rng.uniform(0.3, 1.2, count),
            "pairs": rng.normal(0, 0.15, (count, count)) / np.sqrt(count),
            "cost": rng.uniform(0.5, 1.5, count),
        }

    def _levels(self, archs: Sequence[Arch]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """How large each choice is, (archs, choices): 0 where inactive, up to 1 at its largest value."""
        top = np.array([choice.values[-1] for choice in self.space.choices], dtype=np.float64)
        return self.space.encode(archs) / top

    def accuracy(self, arch: Arch) -> float:
        """Returns the accuracy of `arch`, a fraction."""
        tables, level = self._tables, self._levels([arch])[0]
        worth = float((tables["gain"] * level ** tables["bend"]).sum() / tables["gain"].sum())
        worth += float(level @ tables["pairs"] @ level) / len(level)
        jitter = np.random.default_rng([self.seed, int(arch.digest[:8], 16)]).normal(0, 1)
        return float(np.clip(0.5 + 0.45 * worth + self.noise * jitter, 0, 1))

    def figures(self, archs: Sequence[Arch]) -> Mapping[str, np.ndarray[Any, np.dtype[np.float64]]]:
        """Returns the free figures of Archs by name, each (archs,); the peak of the memory is of the largest choice."""
        level, cost = self._levels(archs), self._tables["cost"]
        macs = 1e6 * (0.2 + (cost * level**2).sum(axis=1))
        params = 1e4 * (1 + level.sum(axis=1))
        active = (level > 0).sum(axis=1)
        latency_ms = 0.05 + macs / 2.5e7 + 0.01 * active
        peak = 1e5 * (1 + level.max(axis=1) * level.mean(axis=1))
        return {
            "latency_ms": latency_ms,
            "macs": macs,
            "params": params,
            "bytes": 4 * params,
            "peak_activation_bytes": peak,
        }

    def figures_of_two(self, archs: Sequence[Arch]) -> Mapping[str, np.ndarray[Any, np.dtype[np.float64]]]:
        """Returns the free figures for two devices: "quick" goes by the MACs, "slow" by the number of layers."""
        found = dict(self.figures(archs))
        active = (self._levels(archs) > 0).sum(axis=1)
        return {"latency_ms@quick": found.pop("latency_ms"), "latency_ms@slow": 1.0 + 0.2 * active, **found}
