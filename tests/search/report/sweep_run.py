"""A made-up run folder of searches with several seeds, written as `ofa search` writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import structs

from ofa.arch import Arch
from ofa.records import write_record
from search.candidates.figures import LATENCY
from search.candidates.limits import LatencyLimits, search_name
from search.candidates.search_files import (
    Finalist,
    Finalists,
    MeasuredSubnet,
    MeasuredTrial,
    MeasurementQuality,
    State,
    SubnetList,
    SubnetRow,
    TrialRow,
    Trials,
)
from search.candidates.space import TuningEpoch
from search.run.paths import RunFolder, SearchFolder
from search.run.stages import Stage, written
from tests.search.scored import ACCURACY, scored, scores_of
from tests.search.study.trial_rows import trial_row
from tests.search.subnets.subnet_rows import subnet_row

Times = Mapping[str, float]


def arch(channels: int) -> Arch:
    """Returns an Arch with one choice."""
    return Arch(width={"stem.conv": channels})


def network(channels: int, times: Times) -> MeasuredSubnet:
    """Returns a measured network."""
    first = next(iter(times.values()))
    return MeasuredSubnet(
        arch=arch(channels), predicted_ms=first, measured_ms=first, predicted=times, measured=times, figures={}
    )


def finalist(limits: Mapping[str, float], channels: int, accuracy: float, times: Times) -> Finalist:
    """Returns what was chosen for one target."""
    chosen = MeasuredTrial(**structs.asdict(network(channels, times)), trial=0, scores=scored(accuracy))
    return Finalist(target=limits, margin=None, chosen=chosen, missed=())


def finalists(devices: Mapping[str, str], chosen: Sequence[Finalist], largest: MeasuredSubnet) -> Finalists:
    """Returns what a search chose."""
    quality = MeasurementQuality(verdict="ok", drift=1.0)
    return Finalists(
        device=next(iter(devices.values())),
        devices=devices,
        finalists=tuple(chosen),
        metrics=(ACCURACY,),
        margin=0.0,
        largest=largest,
        measurement=quality,
        measurements=dict.fromkeys(devices, quality),
    )


def evaluated(accuracy: float, ms: float, figure: str = LATENCY) -> TrialRow:
    """Returns an evaluated trial."""
    return trial("evaluated", {figure: ms}, accuracy)


def trial(
    state: State, figures: Mapping[str, float], accuracy: float | None, history: Sequence[TuningEpoch] = ()
) -> TrialRow:
    """Returns a trial."""
    return trial_row(0, state, arch(8), figures, accuracy, history=history)


def write_search(
    run: RunFolder,
    seed: int,
    chosen: Sequence[Finalist],
    trials: Sequence[TrialRow],
    *,
    latency: LatencyLimits = None,
    study: str | None = None,
    devices: Mapping[str, str] | None = None,
) -> str:
    """Writes the folder of a search that is done, and returns its name."""
    devices = devices or {LATENCY: "laptop"}
    name = search_name(next(iter(devices.values())), latency, study, seed)
    asked = list(latency) if isinstance(latency, tuple) else latency
    files = SearchFolder(run.search(name))
    with written(Stage("search", files.root, {"seed": seed, "latency_ms": asked})):
        files.journal.write_text("")
        write_record(files.trials, Trials(metrics=(ACCURACY,), rows=tuple(trials)))
        write_record(files.finalists, finalists(devices, chosen, network(99, dict.fromkeys(devices, 9.0))))
    return name


def write_subnets(run: RunFolder, search: str, tests: Sequence[tuple[Mapping[str, float], float]]) -> None:
    """Writes what was extracted from a search: a test accuracy for each of its targets, and the largest subnet's."""
    listed = run.subnet_list(search)
    rows = [row(limits, accuracy) for limits, accuracy in tests]
    with written(Stage("extract", listed, {})):
        write_record(
            listed, SubnetList(metrics=(ACCURACY,), rows=(*rows, structs.replace(row({}, 0.999), largest=True)))
        )


def row(limits: Mapping[str, float], accuracy: float) -> SubnetRow:
    """Returns an extracted subnet as the list of a search has it."""
    return subnet_row(limits=limits, limit_ms=limits.get(LATENCY), scores=scores_of(accuracy, accuracy))


def write_sweep(run: RunFolder, seeds: Sequence[int] = (0, 1, 2)) -> None:
    """Writes a search with two limits a seed: the first limit finds the same subnet each time, the second does not."""
    for seed in seeds:
        chosen = [
            finalist({LATENCY: 1.0}, 8, 0.9, {LATENCY: 0.9}),
            finalist({LATENCY: 2.0}, 16 + 8 * seed, 0.95 + 0.01 * seed, {LATENCY: 1.8 + 0.1 * seed}),
        ]
        trials = [
            evaluated(0.8, 0.5 + 0.1 * seed),
            evaluated(0.7, 0.8),  # beaten by the one before
            evaluated(0.95 + 0.01 * seed, 1.8),
            trial("infeasible", {LATENCY: 0.1}, None),
        ]
        write_search(run, seed, chosen, trials, latency=(1.0, 2.0))
