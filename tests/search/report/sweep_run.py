"""A made-up run folder of searches with several seeds, written as `ofa search` writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ofa.arch import Arch
from ofa.paths import write_json
from search.figures import LATENCY
from search.latency_limits import LatencyLimits, search_name
from search.paths import RunFolder, SearchFolder
from search.stages import Stage, written

Times = Mapping[str, float]


def arch(channels: int) -> dict[str, Any]:
    """Returns an Arch with one choice, as JSON has it."""
    return Arch(width={"stem.conv": channels}).to_dict()


def network(channels: int, accuracy: float, times: Times) -> dict[str, Any]:
    """Returns a measured network as finalists.json has it."""
    return {"arch": arch(channels), "accuracy": accuracy, "predicted": dict(times), "measured": dict(times)}


def finalist(limits: Mapping[str, float], channels: int, accuracy: float, times: Times) -> dict[str, Any]:
    """Returns what was chosen for one target as finalists.json has it."""
    return {"target": dict(limits), "chosen": network(channels, accuracy, times)}


def trial(accuracy: float, ms: float, figure: str = LATENCY) -> dict[str, Any]:
    """Returns an evaluated trial as trials.json has it."""
    return {"state": "evaluated", "accuracy": accuracy, "figures": {figure: ms}}


def write_search(
    run: RunFolder,
    seed: int,
    finalists: Sequence[Mapping[str, Any]],
    trials: Sequence[Mapping[str, Any]],
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
        write_json(files.trials, list(trials))
        found = {
            "device": next(iter(devices.values())),
            "devices": dict(devices),
            "finalists": [dict(one) for one in finalists],
            "largest": network(99, 0.99, dict.fromkeys(devices, 9.0)),
        }
        write_json(files.finalists, found)
    return name


def write_subnets(run: RunFolder, search: str, tests: Sequence[tuple[Mapping[str, float], float]]) -> None:
    """Writes what was extracted from a search: a test accuracy for each of its targets, and the largest subnet's."""
    listed = run.subnet_list(search)
    rows = [row(limits, accuracy) for limits, accuracy in tests]
    with written(Stage("extract", listed, {})):
        write_json(listed, [*rows, {**row({}, 0.999), "largest": True}])


def row(limits: Mapping[str, float], accuracy: float) -> dict[str, Any]:
    """Returns an extracted subnet as the list of a search has it."""
    return {
        "limits": dict(limits),
        "limit_ms": limits.get(LATENCY),
        "largest": False,
        "accuracy": {"validation": accuracy, "test": accuracy},
    }


def write_sweep(run: RunFolder, seeds: Sequence[int] = (0, 1, 2)) -> None:
    """Writes a search with two limits a seed: the first limit finds the same subnet each time, the second does not."""
    for seed in seeds:
        finalists = [
            finalist({LATENCY: 1.0}, 8, 0.9, {LATENCY: 0.9}),
            finalist({LATENCY: 2.0}, 16 + 8 * seed, 0.95 + 0.01 * seed, {LATENCY: 1.8 + 0.1 * seed}),
        ]
        trials = [
            trial(0.8, 0.5 + 0.1 * seed),
            trial(0.7, 0.8),  # beaten by the one before
            trial(0.95 + 0.01 * seed, 1.8),
            {"state": "refused", "accuracy": None, "figures": {LATENCY: 0.1}},
        ]
        write_search(run, seed, finalists, trials, latency=(1.0, 2.0))
