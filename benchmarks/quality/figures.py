"""What the runs say: paired differences with standard errors, rank correlation, and when a supernet pays."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scipy.stats import kendalltau

Row = dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """A recipe's subnets against the same networks alone, in points of the score (better is higher).

    Attributes:
        rate: of the networks alone.
        by_arch: mean over seeds of each Arch's difference.
        mean: over Archs and seeds.
        error: standard error of the mean over seeds; None with one seed.
        seeds: that both were trained with.
        supernet, alone: mean scores.
        supernet_seconds: CPU time of a training, mean over seeds.
        alone_seconds: of one network alone, mean over Archs and seeds.
    """

    rate: float
    by_arch: tuple[float, ...]
    mean: float
    error: float | None
    seeds: tuple[int, ...]
    supernet: float
    alone: float
    supernet_seconds: float
    alone_seconds: float

    @property
    def pays_from(self) -> float:
        """How many networks alone take the CPU time of one supernet."""
        return self.supernet_seconds / self.alone_seconds


def compare(rows: Sequence[Row], problem: str, recipe: str, scale: float) -> Comparison | None:
    """Returns the comparison of a recipe; None where a supernet or its networks alone were not trained.

    `scale` turns a score into points: 100 for fractions, negative where less is better.
    """
    ours = {row["seed"]: row for row in rows if _is(row, problem, "supernet") and row["recipe"] == recipe}
    rate = best_rate(rows, problem, scale)
    if rate is None:
        return None
    theirs = {(row["seed"], row["arch"]): row for row in rows if _is(row, problem, "alone") and row["rate"] == rate}
    complete = [seed for seed, row in ours.items() if all((seed, i) in theirs for i in range(len(row["test"])))]
    if not complete:
        return None
    archs = range(len(ours[complete[0]]["test"]))
    points = [[scale * (ours[seed]["test"][i] - theirs[seed, i]["test"]) for i in archs] for seed in complete]
    return Comparison(
        rate=rate,
        by_arch=tuple(statistics.fmean(each) for each in zip(*points, strict=True)),
        mean=statistics.fmean(map(statistics.fmean, points)),
        error=standard_error([statistics.fmean(each) for each in points]),
        seeds=tuple(complete),
        supernet=scale * statistics.fmean(score for seed in complete for score in ours[seed]["test"]),
        alone=scale * statistics.fmean(theirs[seed, i]["test"] for seed in complete for i in archs),
        supernet_seconds=statistics.fmean(ours[seed]["training_cpu_seconds"] for seed in complete),
        alone_seconds=statistics.fmean(theirs[seed, i]["training_cpu_seconds"] for seed in complete for i in archs),
    )


def best_rate(rows: Sequence[Row], problem: str, scale: float) -> float | None:
    """Returns the learning rate that networks alone do best with, on test examples of the first seed; None of none.

    It is chosen by what it is judged by, which favors them.
    """
    alone = [row for row in rows if _is(row, problem, "alone")]
    if not alone:
        return None
    first = min(row["seed"] for row in alone)
    alone = [row for row in alone if row["seed"] == first]
    archs = max(row["arch"] for row in alone) + 1
    by_rate = {rate: [row["test"] for row in alone if row["rate"] == rate] for rate in {row["rate"] for row in alone}}
    whole = {rate: scale * statistics.fmean(each) for rate, each in by_rate.items() if len(each) == archs}
    return max(whole, key=lambda rate: whole[rate]) if whole else None


def standard_error(values: Sequence[float]) -> float | None:
    """Returns the standard error of the mean; None of fewer than two values."""
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Returns Kendall's tau-b of two series of scores, from -1 to 1 (Kendall 1938)."""
    return float(kendalltau(first, second).statistic)


def _is(row: Row, problem: str, net: str) -> bool:
    return bool(row["problem"] == problem and row["net"] == net)
