"""Ranks of many layers within one budget: the energy that each rank keeps, weighed against what it costs."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ofa.compress.layer_ranks import Candidate, Rank


@dataclass(frozen=True, eq=False)
class _Options:
    """What a layer can be, by ascending cost and energy: the last is the layer as it is, or in parts and no worse.

    Attributes:
        ranks: of each option.
        costs: int64 (options,).
        energies: logarithms of the energy that is kept, float64 (options,).
    """

    ranks: Sequence[Rank]
    costs: np.ndarray[Any, np.dtype[np.int64]]
    energies: np.ndarray[Any, np.dtype[np.float64]]


def ranks_within(candidates: Sequence[Candidate], limit: float) -> dict[str, Rank]:
    """Returns ranks by path that cost at most `limit` together, of nearly the largest product of the layers' energies.

    From the smallest ranks on, the step of most energy (in logarithms) for its cost comes first, and a step that does
    not fit any more is left out. So a small layer, such as a classifier of few classes, keeps what costs next to
    nothing. A layer that costs more in parts than whole gets its full rank. `limit` is no less than the sum of the
    candidates' `least_cost`.
    Source: Zhang et al. 2016, 1505.06798, section 2.4, who go from full ranks down.
    """
    options = [_options(candidate) for candidate in candidates]
    places = [0] * len(options)
    spare = limit - sum(int(each.costs[0]) for each in options)
    steps = [step for number, each in enumerate(options) if (step := _best_step(number, each, 0, spare))]
    heapq.heapify(steps)
    while steps:
        _, number, option = heapq.heappop(steps)
        costs = options[number].costs
        more = int(costs[option] - costs[places[number]])
        if more <= spare:
            spare -= more
            places[number] = option
        if step := _best_step(number, options[number], places[number], spare):
            heapq.heappush(steps, step)
    return {
        candidate.path: each.ranks[option] for candidate, each, option in zip(candidates, options, places, strict=True)
    }


def _options(candidate: Candidate) -> _Options:
    energies = {candidate.rank_of_energy(energy): energy for energy in candidate.levels}  # of one rank, the largest
    split = {rank: energy for rank, energy in energies.items() if candidate.saves(rank)}
    if 1.0 not in split.values():
        split[candidate.full_rank] = 1.0
    costs = [min(candidate.split_cost(rank), candidate.dense_cost) for rank in split]
    return _Options([*split], np.array(costs), np.log([*split.values()]))


def _best_step(number: int, options: _Options, option: int, spare: float) -> tuple[float, int, int] | None:
    """(energy gained for its cost, negative; layer; place) of the best step up that fits; None of none."""
    more = options.costs[option + 1 :] - options.costs[option]
    more = more[more <= spare]
    if not more.size:
        return None
    gains = (options.energies[option + 1 : option + 1 + more.size] - options.energies[option]) / more
    best = int(gains.argmax())
    return -float(gains[best]), number, option + 1 + best
