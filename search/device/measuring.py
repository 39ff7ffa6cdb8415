"""Measuring: many networks visited in turn, repeatedly, so that a slow minute affects all of them equally.

The protocol: each round visits every network and the sentinel once, in freshly shuffled order. A visit is two
runs to warm up and the fastest of some timed ones. Rounds go on until odd and even ones agree, or the time is
up (see `search.device.standalone.rounds`). What a network takes is a low quantile over its visits, with the drift of
the sentinel divided out.

The fastest of a visit, not its median: beside busy processes the system takes the processor away every few
milliseconds, so that most runs of 3 ms are interrupted and some are not. There (load 10 on two processors) the
median gave 10.5 to 24 ms by the wall clock where the network takes 2.8, and the fastest 2.8 to 2.9.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from msgspec import structs
from torch import nn

from ofa.errors import InvalidInput
from ofa.inputs import Example
from search.config.rules import FEWEST_VISITS
from search.device.runtime import Runtime, simplest
from search.device.standalone.files import RoundJournal
from search.device.standalone.machine import drift
from search.device.standalone.rounds import CLOCK_COLUMNS, ClockStands, Round, RoundRules, measure_rounds
from search.device.timing import (
    CPU,
    QUANTILE,
    TRUSTED_VISITS,
    WALL,
    Clock,
    Floats,
    Measurement,
    disagreement,
    sentinel,
    summarize,
)

Run = Callable[[], object]


@dataclass(frozen=True)
class MeasureStep:
    """Progress of a measurement: networks loaded, or rounds done, of a total; `seconds_left` where known."""

    stage: Literal["load", "measure"]
    done: int
    total: int
    seconds_left: float | None = None


Progress = Callable[[MeasureStep], None]


Network = tuple[nn.Module, Example]  # with an input of one example, as Archs of several resolutions have their own


def measure(
    networks: Sequence[Network],
    runtime: Runtime,
    *,
    visits: int = 24,
    repeats: int = 8,
    seconds: float = 25.0,
    seed: int = 0,
    clock: Clock = WALL,
    progress: Progress | None = None,
    pieces: Sequence[Network] = (),
    journal: RoundJournal | None = None,
) -> Measurement:
    """Returns the Measurement of networks, each on its input (1, C, H, W), under `runtime`.

    Args:
        pieces: parts of networks with an input each, visited in the same rounds; they do not decide the verdict,
            and one that the runtime refuses is left out.
        visits: rounds; up to twice as many where odd and even ones disagree.
        repeats: timed runs of a visit.
        seconds: the time limit, loading included; `LEAST_VISITS` rounds are always done.
        progress: called after every step.
        journal: stores each round; an interrupted measurement resumes from the stored ones.

    Raises:
        InvalidInput: no networks, fewer than 4 visits, or no repeats.
    """
    started = WALL.seconds()
    report = progress or _silent
    runs: list[Run] = []
    places: list[int | None] = []  # of the pieces among the runs
    for position, (net, example) in enumerate([*networks, *pieces]):
        if position < len(networks):
            runs.append(runtime.load(net, simplest(example)))
        else:
            try:
                runs.append(runtime.load(net, simplest(example)))
                places.append(len(runs) - 1)
            except InvalidInput:
                places.append(None)
        left = seconds - (WALL.seconds() - started)
        report(MeasureStep("load", position + 1, len(networks) + len(pieces), left))
    spent = WALL.seconds() - started
    measured = measure_runs(
        runs,
        runtime.load(*sentinel()),
        visits=visits,
        repeats=repeats,
        seconds=seconds - spent,
        seed=seed,
        clock=clock,
        progress=progress,
        judged=len(networks),
        journal=journal,
    )
    return parted(measured, len(networks), places)


def measure_runs(
    runs: Sequence[Run],
    sentinel_run: Run,
    *,
    visits: int = 24,
    repeats: int = 8,
    seconds: float = 25.0,
    seed: int = 0,
    clock: Clock = WALL,
    elapsed: Callable[[], float] = WALL.seconds,
    progress: Progress | None = None,
    judged: int | None = None,
    journal: RoundJournal | None = None,
) -> Measurement:
    """Returns the Measurement of loaded networks; `elapsed` is the clock of the time limit.

    The first `judged` of them (all, where it is None) decide how well odd and even rounds agree. With a `journal`
    a measurement that was cut off goes on with the rounds there.

    Raises:
        InvalidInput: no networks, fewer than 4 visits, or no repeats.
    """
    check_counts(visits, repeats, len(runs))
    report = progress or _silent
    column = CLOCK_COLUMNS.get(clock.name, 0)  # a synthetic clock stands for the wall clock
    rules = RoundRules(
        visits=visits,
        repeats=repeats,
        seconds=seconds,
        seed=seed,
        judged=len(runs) if judged is None else judged,
        clock="cpu" if column else "wall",
    )
    try:
        rounds = measure_rounds(
            [*runs, sentinel_run],
            rules,
            clocks=(WALL.seconds, clock.seconds) if column else (clock.seconds, CPU.seconds),
            elapsed=elapsed,
            done=journal.begin(len(runs) + 1) if journal else (),
            keep=journal.append if journal else None,
            report=lambda done, left: report(MeasureStep("measure", done, visits, left)),
        )
    except ClockStands as error:
        raise InvalidInput(f"clock {clock.name}: {error}") from None
    return measurement_of(rounds, rules, clock.name)


def measurement_of(rounds: Sequence[Round], rules: RoundRules, clock: str) -> Measurement:
    """Returns the Measurement from rounds, the sentinel last in each; `clock` names the clock that counts."""
    both = 1e3 * np.array([visits.times for visits in rounds])  # (rounds, networks, clocks)
    raw = both[:, :, rules.column]
    slowness = drift(raw[:, -1])
    samples = raw / slowness[:, None]
    timings = [
        structs.replace(summarize(samples[:, index], raw[:, index]), cpu_ms=cpu_ms)
        for index, cpu_ms in enumerate(_process_ms(both[:, :, CLOCK_COLUMNS["cpu"]]))
    ]
    return Measurement(
        timings=tuple(timings[:-1]),
        sentinel=timings[-1],
        drift=float(slowness.max() / slowness.min() - 1),
        disagreement=disagreement(samples[:, : rules.judged]),
        clock=clock,
        seconds=rounds[-1].seconds,
        cut_short=len(rounds) < min(rules.visits, TRUSTED_VISITS),
        interrupted=_interrupted(rounds) if clock in CLOCK_COLUMNS else None,  # a synthetic clock measures no process
    )


def parted(measured: Measurement, networks: int, positions: Sequence[int | None]) -> Measurement:
    """Returns a measurement with its first timings as those of the networks, and as pieces those at `positions`."""
    return replace(
        measured,
        timings=measured.timings[:networks],
        pieces=tuple(None if position is None else measured.timings[position] for position in positions),
    )


def _process_ms(raw: Floats) -> list[float | None]:
    """Each network's time by the process's clock, drift divided out; None where that clock is too coarse."""
    if not np.all(raw > 0):
        return [None] * raw.shape[1]
    times: list[float | None] = np.quantile(raw / drift(raw[:, -1])[:, None], QUANTILE, axis=0).tolist()
    return times


def _interrupted(rounds: Sequence[Round]) -> float | None:
    known = [visits.interrupted for visits in rounds if visits.interrupted is not None]
    return float(np.mean(known)) if known else None


def check_counts(visits: int, repeats: int, networks: int) -> None:
    """Checks that there is enough to measure.

    Raises:
        InvalidInput: no networks, fewer than 4 visits, or no repeats.
    """
    least_of = {"visits": (visits, FEWEST_VISITS), "repeats": (repeats, 1), "networks": (networks, 1)}
    for name, (value, least) in least_of.items():
        if value < least:
            raise InvalidInput(f"{name}={value} must be at least {least}")


def _silent(_: MeasureStep) -> None:
    return None
