"""From the saved searches of a run to a SweepData: those that differ in the seed alone belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.paths import read_json
from search.figures import LATENCY
from search.latency_limits import check_latency, search_name, seed_text
from search.paths import RunFolder, SearchFolder
from search.report.gather import run_arguments, versions
from search.report.sweep_data import SweepChoice, SweepData, SweepFronts, SweepTarget
from search.run_contents import begun_searches, complete_searches
from search.spread import Front
from search.stages import is_complete, stamped_config
from search.subnet_rows import is_for, is_largest, times_of


@dataclass(frozen=True)
class _Search:
    """One search that is done: its name without the seed, its kind, and what it chose for each target."""

    base: str
    kind: str
    seed: int
    devices: tuple[str, ...]
    choices: tuple[SweepChoice, ...]
    points: Front  # every evaluated trial


def gather_sweep(run: RunFolder) -> SweepData:
    """Returns what the searches of a run that are done come to, by target and seed.

    Raises:
        InvalidInput: there is none, or a damaged file, by name.
    """
    names = complete_searches(run)
    unfinished = tuple(sorted(set(begun_searches(run)) - set(names)))
    if not names:
        begun = f" ({', '.join(unfinished)} not finished)" if unfinished else ""
        raise InvalidInput(f"{run.searches} holds no search that is done{begun}: run ofa search run={run.name} first")
    searches = sorted((_search(run, name) for name in names), key=lambda one: (one.devices, one.kind, one.seed))
    return SweepData(
        run=run.name,
        targets=tuple(sorted(_targets(searches), key=_order)),
        fronts=tuple(_fronts(searches)),
        unfinished=unfinished,
        commands=(f"ofa sweep{run_arguments(run)}", f"ofa report{run_arguments(run)}   # one search after the other"),
        versions=versions(),
    )


def front_of(points: Front) -> Front:
    """Returns the points that no other one beats in both latency and accuracy, quickest first."""
    front: list[tuple[float, float]] = []
    for ms, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or accuracy > front[-1][1]:
            front.append((ms, accuracy))
    return tuple(front)


def _search(run: RunFolder, name: str) -> _Search:
    files, stamp = SearchFolder(run.search(name)), stamped_config(run.search(name))
    found, trials = read_json(files.finalists), read_json(files.trials)
    seed = int(stamp.get("seed", 0))
    base = name.removesuffix(seed_text(seed))
    usual = search_name(found["device"], check_latency(stamp.get("latency_ms")))
    listed = run.subnet_list(name)
    rows = read_json(listed) if is_complete(listed) else []
    evaluated = [row for row in trials if row["state"] == "evaluated"]
    first, *_ = times_of(found["largest"])
    return _Search(
        base=base,
        kind="" if base == usual else base,
        seed=seed,
        devices=tuple(found.get("devices", {LATENCY: found["device"]}).values()),
        choices=tuple(_choice(name, seed, one, rows, len(evaluated)) for one in found["finalists"]),
        points=tuple((float(row["figures"][first]), float(row["accuracy"])) for row in evaluated),
    )


def _choice(search: str, seed: int, finalist: Mapping[str, Any], rows: list[Any], evaluations: int) -> SweepChoice:
    chosen, target = finalist["chosen"], finalist["target"]
    extracted: Any = next((row for row in rows if not is_largest(row) and is_for(row, target)), {})
    return SweepChoice(
        search=search,
        seed=seed,
        limits=target,
        arch=Arch.from_dict(chosen["arch"]),
        validation_accuracy=float(chosen["accuracy"]),
        test_accuracy=(extracted.get("accuracy") or {}).get("test"),
        times=times_of(chosen),
        evaluations=evaluations,
        settings=tuple(sorted((chosen.get("settings") or {}).items())),
    )


def _targets(searches: list[_Search]) -> list[SweepTarget]:
    """Targets of searches that differ in the seed alone are the same by their place.

    Limits that are fractions of the largest subnet's latency differ a little from seed to seed: each search adds to
    the profile that the next one takes them from.
    """
    groups: dict[tuple[str, tuple[str, ...], int], list[SweepChoice]] = {}
    for one in searches:
        for place, choice in enumerate(one.choices):
            groups.setdefault((one.base, one.devices, place), []).append(choice)
    return [SweepTarget(base, devices, tuple(choices)) for (base, devices, _), choices in groups.items()]


def _fronts(searches: list[_Search]) -> list[SweepFronts]:
    groups: dict[tuple[tuple[str, ...], str], list[_Search]] = {}
    for one in searches:
        groups.setdefault((one.devices, one.kind), []).append(one)
    return [
        SweepFronts(
            devices=devices,
            kind=kind,
            by_seed={
                seed: front_of([point for one in group if one.seed == seed for point in one.points])
                for seed in sorted({one.seed for one in group})
            },
            choices=tuple(choice for one in group for choice in one.choices),
        )
        for (devices, kind), group in groups.items()
    ]


def _order(target: SweepTarget) -> tuple[tuple[str, ...], list[float], str]:
    return target.devices, list(target.choices[0].limits.values()), target.search
