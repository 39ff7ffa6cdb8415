"""Rounds: loaded networks visited in turn, repeatedly, so that a slow minute affects all of them equally.

Each round visits every network and the sentinel, the last of them, once, in an order that is a function of the seed
and the round's number: a resumed measurement makes the same rounds as an uninterrupted one. A visit is two
runs to warm up and the fastest of some timed ones, by the wall clock and by the clock of this process.

Only the standard library and NumPy: also part of the script that measures on a device without this toolkit.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from search.device.standalone.machine import OK_WITHIN, disagreement, drift

TimedRun = Callable[[], object]
ClockPair = tuple[Callable[[], float], Callable[[], float]]  # give seconds: the wall clock, the process's

CLOCK_COLUMNS = {"wall": 0, "cpu": 1}
SAMPLE_SECONDS = 100e-6  # the least that one clock reading should cover: shorter runs are timed several at once
MOST_RUNS = 2**16  # in one clock reading
LEAST_VISITS = 6
WARM_RUNS = 2
COMPUTES = 0.5  # the fraction of the time that a process must compute for interruptions to be measurable


class ClockStands(ValueError):
    """A clock does not move while networks run."""


@dataclass(frozen=True)
class Round:
    """One visit to every network.

    Attributes:
        times: (networks, 2), seconds a run by the wall clock and by the process's clock, the fastest of the visit.
        seconds: time spent measuring up to the end of this round, including earlier rounds, without pauses.
        celsius: the temperature after it, None where unknown.
        interrupted: fraction of its time in which other processes had the processor; None where unknown.
    """

    times: Sequence[Sequence[float]]
    seconds: float
    celsius: float | None = None
    interrupted: float | None = None


@dataclass(frozen=True)
class Visit:
    """The times of one visit to a network, in seconds per run by the wall clock and by the process's clock.

    Attributes:
        fastest: the fastest run by each clock separately.
        least: both times of the sample that was fastest by the wall clock.
        mean: the mean over all samples.
    """

    fastest: Sequence[float]
    least: Sequence[float]
    mean: Sequence[float]


@dataclass(frozen=True)
class RoundRules:
    """How a visit is made, and when there are enough rounds.

    Attributes:
        visits: rounds; up to twice as many where odd and even ones disagree.
        repeats: timed runs of a visit.
        seconds: the time limit for all rounds; `LEAST_VISITS` are always made.
        seed: the seed of the order.
        judged: how many of the networks, the first ones, decide how well odd and even rounds agree.
        clock: "wall" or "cpu", the clock that counts.
    """

    visits: int
    repeats: int
    seconds: float
    seed: int
    judged: int
    clock: str = "wall"

    @property
    def column(self) -> int:
        """The index of the clock that counts in a pair of times."""
        return CLOCK_COLUMNS[self.clock]

    @property
    def least(self) -> int:
        """The number of rounds that are always made."""
        return min(self.visits, LEAST_VISITS)


def measure_rounds(
    runs: Sequence[TimedRun],
    rules: RoundRules,
    *,
    clocks: ClockPair = (time.perf_counter, time.process_time),
    elapsed: Callable[[], float] = time.perf_counter,
    done: Sequence[Round] = (),
    keep: Callable[[Round], object] | None = None,
    report: Callable[[int, float], object] | None = None,
    pause: float = 0.0,
    thermometer: Callable[[], float | None] | None = None,
) -> list[Round]:
    """Returns the rounds of visits to `runs`, the sentinel last, until there are enough of them.

    Args:
        elapsed: the clock of the time limit.
        done: rounds that were made before: they count, and the next ones are those that would have followed.
        keep: called with each new round.
        report: called after each with the number of rounds and the seconds left.
        pause: seconds of rest between rounds, outside the time limit.
        thermometer: returns the temperature.

    Raises:
        ClockStands: the clock that counts does not move.
    """
    rounds = list(done)
    spent = rounds[-1].seconds if rounds else 0.0
    if is_enough(rounds, rules, spent):
        return rounds
    with no_garbage_collection():
        begun = elapsed()
        batches = [batch_of(run, clocks, rules.column) for run in runs]
        spent += elapsed() - begun
        while not is_enough(rounds, rules, spent):
            if pause and rounds:
                time.sleep(pause)
            begun = elapsed()
            visits = {
                int(index): visit(runs[index], rules.repeats, batches[index], clocks)
                for index in round_order(rules.seed, len(rounds), len(runs))
            }
            spent += elapsed() - begun
            times = [visits[index].fastest for index in range(len(runs))]
            celsius = thermometer() if thermometer else None
            rounds.append(Round(times, spent, celsius, interrupted_share(list(visits.values()))))
            if keep:
                keep(rounds[-1])
            if report:
                report(len(rounds), seconds_left(len(rounds), rules, spent, pause))
    return rounds


def is_enough(rounds: Sequence[Round], rules: RoundRules, spent: float) -> bool:
    """Returns whether no further round is due after so many seconds."""
    count = len(rounds)
    if count >= 2 * rules.visits:
        return True
    if count >= rules.least and spent + spent / count > rules.seconds:
        return True
    return count >= rules.visits and count % 4 == 0 and disagreement_of(rounds, rules) <= OK_WITHIN


def disagreement_of(rounds: Sequence[Round], rules: RoundRules) -> float:
    """Returns how far odd and even rounds are apart, a fraction, with the drift of the sentinel divided out."""
    raw = np.array([[pair[rules.column] for pair in visits.times] for visits in rounds])
    return disagreement(raw[:, : rules.judged] / drift(raw[:, -1])[:, None])


def seconds_left(count: int, rules: RoundRules, spent: float, pause: float = 0.0) -> float:
    """Returns the seconds until `rules.visits` rounds are made or the time is up, including pauses."""
    remaining = max(rules.visits, count) - count
    measuring = max(0.0, min(spent / count * remaining, rules.seconds - spent))
    return measuring + pause * remaining


def round_order(seed: int, number: int, count: int) -> Any:
    """Returns the order, int (count,), in which round `number` visits the networks."""
    return np.random.default_rng([seed, number]).permutation(count)


def visit(run: TimedRun, repeats: int, batch: int, clocks: ClockPair) -> Visit:
    """Returns the times of `repeats` samples of a network, after two runs to warm up."""
    for _ in range(WARM_RUNS):
        run()
    samples = [sample(run, batch, clocks) for _ in range(repeats)]
    columns = [pair[0] for pair in samples], [pair[1] for pair in samples]
    return Visit(
        fastest=[min(column) for column in columns],
        least=min(samples),
        mean=[sum(column) / repeats for column in columns],
    )


def interrupted_share(visits: Sequence[Visit]) -> float | None:
    """Returns the share of the time in which this process wanted to run and did not, 0 to 1.

    The processor time per second of all samples is compared with that of the fastest samples. None where the process
    does not compute most of the time, such as one that waits for a GPU, or where its clock is too coarse.
    """
    wall, cpu = (sum(network.mean[column] for network in visits) for column in (0, 1))
    least_wall, least_cpu = (sum(network.least[column] for network in visits) for column in (0, 1))
    if min(wall, cpu, least_wall) <= 0 or least_cpu < COMPUTES * least_wall:
        return None
    return max(0.0, 1 - (cpu / wall) / (least_cpu / least_wall))


def sample(run: TimedRun, batch: int, clocks: ClockPair) -> tuple[float, float]:
    """Returns the seconds per run of several consecutive runs, by each clock."""
    wall, cpu = clocks
    cpu_begun = cpu()
    wall_begun = wall()
    for _ in range(batch):
        run()
    wall_seconds = wall() - wall_begun
    return wall_seconds / batch, (cpu() - cpu_begun) / batch


def batch_of(run: TimedRun, clocks: ClockPair, column: int) -> int:
    """Returns how many runs one reading of the clock that counts must cover.

    Raises:
        ClockStands: it does not move.
    """
    for _ in range(WARM_RUNS):
        run()
    batch = 1
    while batch <= MOST_RUNS:
        took = min(sample(run, batch, clocks)[column] for _ in range(3)) * batch
        if took >= SAMPLE_SECONDS:
            return batch
        batch = max(2 * batch, math.ceil(batch * SAMPLE_SECONDS / took) if took > 0 else 0)
    raise ClockStands(f"the clock stands still: {MOST_RUNS} runs took no time; take another one")


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Keeps Python's garbage collector from running inside a visit."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
