"""Measuring: many networks visited in turn, again and again, so that a slow minute hits all of them alike.

The protocol: each round visits every network and the sentinel once, in freshly shuffled order. A visit is two
runs to warm up and the fastest of some timed ones. Rounds go on until odd and even ones agree, or the time is
up. What a network takes is a low quantile over its visits, with the drift of the sentinel divided out.

The fastest of a visit, not its median: beside busy processes the system takes the processor away every few
milliseconds, so that most runs of 3 ms are interrupted and some are not. There (load 10 on two processors) the
median gave 10.5 to 24 ms by the wall clock where the network takes 2.8, and the fastest 2.8 to 2.9.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ofa.errors import InvalidInput
from search.device.clock import WALL, Clock
from search.device.runtime import Runtime
from search.device.sentinel import sentinel
from search.device.timing import FEWEST_VISITS, OK_WITHIN, QUANTILE, Floats, Measurement, disagreement, summarise

Run = Callable[[], object]
Progress = Callable[[Mapping[str, Any]], None]

SAMPLE_SECONDS = 100e-6  # the least that one clock reading should cover: shorter runs are timed several at once
MOST_RUNS = 2**16  # in one clock reading
LEAST_VISITS = 6
WARM_RUNS = 2
DRIFT_WINDOW = 5  # rounds: the sentinel's own noise is smoothed before it is divided out


def measure(
    nets: Sequence[nn.Module],
    example_input: torch.Tensor,
    runtime: Runtime,
    *,
    visits: int = 24,
    repeats: int = 8,
    seconds: float = 25.0,
    seed: int = 0,
    clock: Clock = WALL,
    progress: Progress | None = None,
    pieces: Sequence[tuple[nn.Module, torch.Tensor]] = (),
) -> Measurement:
    """Returns the Measurement of `nets` on `example_input` (1, C, H, W) under `runtime`.

    Args:
        pieces: parts of networks with an input each, visited in the same rounds; they do not decide the verdict,
            and one that the runtime refuses is left out.
        visits: rounds; up to twice as many where odd and even ones disagree.
        repeats: timed runs of a visit.
        seconds: the most it may take, loading included; `LEAST_VISITS` rounds are made in any case.
        progress: called with {"stage": "load" | "measure", "done", "total", "seconds_left"}.

    Raises:
        InvalidInput: no networks, fewer than 4 visits, or no repeats.
    """
    started = WALL.seconds()
    report = progress or _silent
    runs: list[Run] = []
    places: list[int | None] = []  # of the pieces among the runs
    for position, (net, example) in enumerate([*((net, example_input) for net in nets), *pieces]):
        if position < len(nets):
            runs.append(runtime.load(net, example))
        else:
            try:
                runs.append(runtime.load(net, example))
                places.append(len(runs) - 1)
            except InvalidInput:
                places.append(None)
        left = seconds - (WALL.seconds() - started)
        report({"stage": "load", "done": position + 1, "total": len(nets) + len(pieces), "seconds_left": left})
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
        judged=len(nets),
    )
    return replace(
        measured,
        timings=measured.timings[: len(nets)],
        pieces=tuple(None if place is None else measured.timings[place] for place in places),
    )


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
) -> Measurement:
    """Returns the Measurement of loaded networks; `elapsed` is the clock of the time limit.

    The first `judged` of them (all, where it is None) decide how well odd and even rounds agree.

    Raises:
        InvalidInput: no networks, fewer than 4 visits, or no repeats.
    """
    least_of = {"visits": (visits, FEWEST_VISITS), "repeats": (repeats, 1), "networks": (len(runs), 1)}
    for name, (value, least) in least_of.items():
        if value < least:
            raise InvalidInput(f"{name}={value} must be at least {least}")
    everything = [*runs, sentinel_run]
    judged = len(runs) if judged is None else judged
    generator = np.random.default_rng(seed)
    started = elapsed()
    report = progress or _silent
    rounds: list[list[float]] = []
    least, most = min(visits, LEAST_VISITS), 2 * visits
    with _no_garbage_collection():
        batches = [_batch(run, clock) for run in everything]
        while len(rounds) < most:
            spent = elapsed() - started
            if len(rounds) >= least and spent + spent / len(rounds) > seconds:
                break
            if len(rounds) >= visits and len(rounds) % 4 == 0 and _disagreement(rounds, judged) <= OK_WITHIN:
                break
            row = [0.0] * len(everything)
            for index in generator.permutation(len(everything)):
                row[index] = _visit(everything[index], repeats, batches[index], clock)
            rounds.append(row)
            spent = elapsed() - started
            remaining = spent / len(rounds) * (max(visits, len(rounds)) - len(rounds))
            left = max(0.0, min(remaining, seconds - spent))
            report({"stage": "measure", "done": len(rounds), "total": visits, "seconds_left": left})
    raw = 1e3 * np.array(rounds)
    slowness = drift(raw[:, -1])
    samples = raw / slowness[:, None]
    timings = [summarise(samples[:, index], raw[:, index]) for index in range(len(everything))]
    return Measurement(
        timings=tuple(timings[:-1]),
        sentinel=timings[-1],
        drift=float(slowness.max() / slowness.min() - 1),
        disagreement=disagreement(samples[:, :judged]),
        clock=clock.name,
        seconds=elapsed() - started,
    )


def drift(sentinel_ms: Floats) -> Floats:
    """Returns how slow the machine was in each round: the sentinel's visits (V,) in ms to factors around 1.

    A low quantile over a few neighbouring rounds: a disturbed visit of the sentinel must not bend the others.
    """
    reach = DRIFT_WINDOW // 2
    smooth = np.array(
        [np.quantile(sentinel_ms[max(0, i - reach) : i + reach + 1], QUANTILE) for i in range(len(sentinel_ms))]
    )
    factors: Floats = smooth / np.quantile(smooth, QUANTILE)
    return factors


def _disagreement(rounds: list[list[float]], judged: int) -> float:
    raw = np.array(rounds)
    return disagreement(raw[:, :judged] / drift(raw[:, -1])[:, None])


def _visit(run: Run, repeats: int, batch: int, clock: Clock) -> float:
    """Returns the seconds of the run that was disturbed least."""
    for _ in range(WARM_RUNS):
        run()
    return min(_sample(run, batch, clock) for _ in range(repeats))


def _sample(run: Run, batch: int, clock: Clock) -> float:
    begun = clock.seconds()
    for _ in range(batch):
        run()
    return (clock.seconds() - begun) / batch


def _batch(run: Run, clock: Clock) -> int:
    """Returns how many runs one clock reading must cover."""
    for _ in range(WARM_RUNS):
        run()
    batch = 1
    while batch <= MOST_RUNS:
        took = min(_sample(run, batch, clock) for _ in range(3)) * batch
        if took >= SAMPLE_SECONDS:
            return batch
        batch = max(2 * batch, math.ceil(batch * SAMPLE_SECONDS / took) if took > 0 else 0)
    raise InvalidInput(f"clock {clock.name} stands still: {MOST_RUNS} runs took no time; take another clock")


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _silent(_: Mapping[str, Any]) -> None:
    return None
