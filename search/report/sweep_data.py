"""What the page of a sweep is drawn from: plain values, gathered by `search.report.gather_sweep`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ofa.arch import Arch
from search.candidate import Setting
from search.spread import Front


@dataclass(frozen=True)
class SweepChoice:
    """What one search chose for one target; accuracies are fractions, times measured ms by figure.

    `settings` are those beside the Arch, of its pruning and fine-tuning; none where nothing else was searched.
    """

    search: str
    seed: int
    limits: Mapping[str, float]  # by figure
    arch: Arch
    validation_accuracy: float
    test_accuracy: float | None  # None where it was not extracted
    times: Mapping[str, float]
    evaluations: int  # of the search
    settings: tuple[tuple[str, Setting], ...] = ()


@dataclass(frozen=True)
class SweepTarget:
    """One target of a search, over the seeds that it was made with, in their order."""

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
    """The Pareto front of each seed, over all of its searches of one kind: accuracy over predicted latency.

    `kind` is the name of the study where one was given, else empty; latencies are of the first of the devices.
    """

    devices: tuple[str, ...]
    kind: str
    by_seed: Mapping[int, Front]
    choices: tuple[SweepChoice, ...]


@dataclass(frozen=True)
class SweepData:
    """All that the page shows; `unfinished` are the names of searches that have begun and are not done."""

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
        """The names of all searches that are done."""
        return tuple(dict.fromkeys(choice.search for target in self.targets for choice in target.choices))

    @property
    def devices(self) -> tuple[str, ...]:
        """The names of all devices."""
        return tuple(dict.fromkeys(device for target in self.targets for device in target.devices))
