"""Gathers the saved searches of a run into a SweepData; searches that only differ in the seed are grouped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.records import convert, read_record
from ofa.task import Score
from search.analysis.side_by_side import Front
from search.candidates.limits import check_latency, search_name, seed_text
from search.candidates.search_files import Finalist, Finalists, SubnetRow, Trials
from search.device.workload import USUAL, Workload
from search.report.gather import run_arguments, versions
from search.report.gather_device import extracted_rows, with_error
from search.report.latency_section import workload_of
from search.run.cards import Setting
from search.run.contents import commands_of, complete_searches, unfinished_searches
from search.run.paths import RunFolder, SearchFolder
from search.run.scores import MetricFacts
from search.run.stages import stamp_path, stamped_config
from search.subnets.chosen import row_for


@dataclass(frozen=True)
class SweepChoice:
    """The choice of one search for one target; times are measured ms by figure.

    `settings` are those of its pruning and fine-tuning; none if only the Arch was searched.
    """

    search: str
    seed: int
    limits: Mapping[str, float]  # by figure
    arch: Arch
    metric: MetricFacts
    validation: Score
    test: Score | None  # None if it was not extracted
    times: Mapping[str, float]
    evaluations: int  # of the search
    settings: tuple[tuple[str, Setting], ...] = ()


@dataclass(frozen=True)
class SweepTarget:
    """One target of a search, over its seeds, in order."""

    search: str  # without a seed
    devices: tuple[str, ...]
    choices: tuple[SweepChoice, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, ascending."""
        return tuple(choice.seed for choice in self.choices)

    @property
    def distinct(self) -> int:
        """How many different subnets the seeds chose."""
        return len({(choice.arch, choice.settings) for choice in self.choices})


@dataclass(frozen=True)
class SweepFronts:
    """The Pareto front of each seed, over all of its searches of one kind: quality over predicted latency.

    `kind` is the name of the study if one was given, else empty; latencies are of the first of the devices.
    """

    devices: tuple[str, ...]
    kind: str
    metric: MetricFacts
    by_seed: Mapping[int, Front]
    choices: tuple[SweepChoice, ...]
    workload: Workload = USUAL


@dataclass(frozen=True)
class SweepData:
    """The content of the page; `unfinished` are the names of searches that have begun and are not complete."""

    run: str
    targets: tuple[SweepTarget, ...]
    fronts: tuple[SweepFronts, ...]
    unfinished: tuple[str, ...]
    commands: tuple[str, ...]
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def seeds(self) -> tuple[int, ...]:
        """All seeds, ascending."""
        return tuple(sorted({seed for target in self.targets for seed in target.seeds}))

    @property
    def searches(self) -> tuple[str, ...]:
        """The names of all complete searches."""
        return tuple(dict.fromkeys(choice.search for target in self.targets for choice in target.choices))

    @property
    def devices(self) -> tuple[str, ...]:
        """The names of all devices."""
        return tuple(dict.fromkeys(device for target in self.targets for device in target.devices))


@dataclass(frozen=True)
class _Search:
    """One complete search: its name without the seed, its kind, and its choice for each target."""

    base: str
    kind: str
    seed: int
    devices: tuple[str, ...]
    choices: tuple[SweepChoice, ...]
    points: Front  # every evaluated trial
    metric: MetricFacts
    workload: Workload  # of the first device


def gather_sweep(run: RunFolder) -> SweepData:
    """Returns the results of the complete searches of a run, by target and seed.

    Raises:
        InvalidInput: there is none, or a damaged file; names it.
    """
    names = complete_searches(run)
    unfinished = tuple(unfinished_searches(run))
    if not names:
        unfinished_text = f" ({', '.join(unfinished)} not finished)" if unfinished else ""
        raise InvalidInput(
            f"{run.searches} holds no complete search{unfinished_text}: run ofa search run={run.name} first"
        )
    searches = sorted(
        (_search(run, name) for name in names), key=lambda search: (search.devices, search.kind, search.seed)
    )
    return SweepData(
        run=run.name,
        targets=_ordered(_targets(searches), {search.base: search.kind for search in searches}),
        fronts=tuple(_fronts(searches)),
        unfinished=unfinished,
        commands=(*commands_of(run), f"ofa sweep{run_arguments(run)}", f"ofa report{run_arguments(run)}"),
        versions=versions(),
    )


def front_of(points: Front) -> Front:
    """Returns the points that no other beats in both latency and quality, fastest first."""
    front: list[tuple[float, float]] = []
    for ms, quality in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or quality > front[-1][1]:
            front.append((ms, quality))
    return tuple(front)


def _search(run: RunFolder, name: str) -> _Search:
    files, stamp = SearchFolder(run.search(name)), stamped_config(run.search(name))
    finalists, content = read_record(files.finalists, Finalists), read_record(files.trials, Trials)
    trials, metric = content.rows, content.metrics[0]
    seed: int = convert(stamp.get("seed", 0), int, f"{stamp_path(files.root)}: seed")
    base = name.removesuffix(seed_text(seed))
    default_name = search_name(finalists.device, check_latency(stamp.get("latency_ms")))
    rows = extracted_rows(run, name)
    evaluated = [(row, row.score) for row in trials if row.state == "evaluated" and row.score is not None]
    first = next(iter(finalists.devices))
    if lacking := [row.number for row, _ in evaluated if first not in row.figures]:
        raise InvalidInput(f"{files.trials}: trial {lacking[0]} has no {first}; {Trials.REMEDY}")
    return _Search(
        base=base,
        kind="" if base == default_name else base,
        seed=seed,
        devices=tuple(finalists.devices.values()),
        choices=tuple(_choice(name, seed, finalist, metric, rows, len(evaluated)) for finalist in finalists.finalists),
        points=tuple((row.figures[first], metric.quality(score.value)) for row, score in evaluated),
        metric=metric,
        workload=workload_of(run, finalists.device),
    )


def _choice(
    search: str, seed: int, finalist: Finalist, metric: MetricFacts, rows: Sequence[SubnetRow], evaluations: int
) -> SweepChoice:
    chosen, extracted = finalist.chosen, row_for(rows, finalist.target)
    return SweepChoice(
        search=search,
        seed=seed,
        limits=finalist.target,
        arch=chosen.arch,
        metric=metric,
        validation=with_error(chosen.score, extracted),
        test=None if extracted is None else extracted.scores.test.get(metric.name),
        times=chosen.measured,
        evaluations=evaluations,
        settings=tuple(sorted(chosen.settings.items())),
    )


def _targets(searches: list[_Search]) -> list[SweepTarget]:
    """Groups the targets of searches that only differ in the seed by their index.

    Limits that are fractions of the largest subnet's latency differ a little from seed to seed: each search adds to
    the profile from which the next one computes them.
    """
    groups: dict[tuple[str, tuple[str, ...], int], list[SweepChoice]] = {}
    for search in searches:
        for index, choice in enumerate(search.choices):
            groups.setdefault((search.base, search.devices, index), []).append(choice)
    return [SweepTarget(base, devices, tuple(choices)) for (base, devices, _), choices in groups.items()]


def _fronts(searches: list[_Search]) -> list[SweepFronts]:
    groups: dict[tuple[tuple[str, ...], str, MetricFacts, Workload], list[_Search]] = {}
    for search in searches:
        groups.setdefault((search.devices, search.kind, search.metric, search.workload), []).append(search)
    return [
        SweepFronts(
            devices=devices,
            kind=kind,
            metric=metric,
            by_seed={
                seed: front_of([point for search in group if search.seed == seed for point in search.points])
                for seed in sorted({search.seed for search in group})
            },
            choices=tuple(choice for search in group for choice in search.choices),
            workload=workload,
        )
        for (devices, kind, metric, workload), group in groups.items()
    ]


def _ordered(targets: Sequence[SweepTarget], kinds: Mapping[str, str]) -> tuple[SweepTarget, ...]:
    """The targets study by study, each from the least limit; `kinds` are the studies by search, "" if unnamed."""

    def rank(target: SweepTarget) -> tuple[tuple[str, ...], str, list[float], str]:
        return target.devices, kinds[target.search], list(target.choices[0].limits.values()), target.search

    return tuple(sorted(targets, key=rank))
