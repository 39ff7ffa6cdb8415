"""What a report is drawn from: plain values, gathered from saved files by `search.report.gather`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Trial:
    """One candidate of a search; `accuracy` is None where it was not evaluated (predicted over the limit)."""

    number: int
    accuracy: float | None  # validation, a fraction
    latency_ms: float | None  # predicted
    macs: int | None
    params: int | None
    arch: Mapping[str, int]
    feasible: bool


@dataclass(frozen=True)
class Chosen:
    """One extracted subnet, from its card: accuracies are fractions, `limit_ms` is None for the largest."""

    device: str
    limit_ms: float | None
    predicted_ms: float | None
    measured_ms: float | None
    validation_accuracy: float | None
    test_accuracy: float | None
    macs: int | None
    params: int | None
    bytes: int | None
    arch: Mapping[str, int]
    folder: str
    export_difference: float | None = None


@dataclass(frozen=True)
class Anchor:
    """One subnet that a profile measured, and what the model says of it when fitted without it."""

    measured_ms: float
    predicted_ms: float
    arch: Mapping[str, int]


@dataclass(frozen=True)
class DeviceResult:
    """One search on one device, with the device's profile where no search before it has shown that."""

    name: str  # of the search
    device: str
    description: Mapping[str, str]
    anchors: tuple[Anchor, ...]
    held_out_error: float | None  # mean absolute relative error, a fraction
    macs_only_error: float | None
    quality: str
    trials: tuple[Trial, ...]
    chosen: tuple[Chosen, ...]
    largest: Chosen | None


@dataclass(frozen=True)
class Choice:
    """One choice of the space, as the picture of an architecture needs it."""

    kind: str
    name: str
    values: tuple[int, ...]

    @property
    def key(self) -> str:
        """The name across kinds."""
        return f"{self.kind}.{self.name}"


@dataclass(frozen=True)
class PrunedLayer:
    """One layer of a pruned network.

    Attributes:
        name: of the parameter.
        weights, kept: entries, and those that are not removed.
        low, high: the range of the weights that are left; both 0 where nothing is.
        counts: a histogram of them, in bins of equal width from `low` to `high`.
    """

    name: str
    weights: int
    kept: int
    low: float
    high: float
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Level:
    """One network on the way to a lottery ticket: a ticket, or a control of the same density."""

    kind: str
    density: float
    test_accuracy: float


@dataclass(frozen=True)
class Pruned:
    """One pruned network, from its card; accuracies and densities are fractions."""

    name: str
    network: str  # model and data, such as "lenet300-mnist"
    test_accuracy: float
    validation_accuracy: float
    dense_test_accuracy: float | None
    density: float
    weights: int
    kept: int
    kept_macs: int | None
    slim_params: int | None
    slim_macs: int | None
    layers: tuple[PrunedLayer, ...]
    levels: tuple[Level, ...] = ()


@dataclass(frozen=True)
class ReportData:
    """All that one page shows."""

    run: str
    summary: Mapping[str, str]  # headline facts by label: model, data, space size
    choices: tuple[Choice, ...]
    history: tuple[Mapping[str, Any], ...]
    devices: tuple[DeviceResult, ...]
    commands: tuple[str, ...]
    digests: Mapping[str, str]
    config: str
    versions: Mapping[str, str] = field(default_factory=dict)
    pruned: tuple[Pruned, ...] = ()
