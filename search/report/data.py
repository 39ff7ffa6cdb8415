"""The data of a report: plain values, gathered from saved files by `search.report.gather`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ofa.task import Score
from search.analysis.analyze import Analysis
from search.analysis.side_by_side import TunedSearch
from search.device.workload import USUAL, Workload
from search.run.cards import Quantized, Setting
from search.run.compressed_cards import CompressedCard
from search.run.pruned_cards import LayerRow
from search.run.result_files import Comparison, Layers
from search.run.scores import MetricFacts
from search.run.training_cards import Epoch


@dataclass(frozen=True)
class Trial:
    """One candidate of a search; `score` is None if it was not evaluated (predicted over the limit)."""

    number: int
    score: Score | None  # of the search's metric on validation
    latency_ms: float | None  # predicted, on the first device
    macs: float | None
    params: float | None
    arch: Mapping[str, int]
    feasible: bool
    settings: Mapping[str, Setting] = field(default_factory=dict)  # of its fine-tuning
    bytes: float | None = None
    keeps: bool = True  # whether it keeps the limits on metrics


@dataclass(frozen=True)
class Chosen:
    """One extracted subnet, from its card; `predicted_ms` and `measured_ms` are of the first device."""

    device: str
    limit_ms: float | None  # None without one
    predicted_ms: float | None
    measured_ms: float | None
    validation: Score | None
    test: Score | None
    macs: int | None
    params: int | None
    bytes: int | None
    arch: Mapping[str, int]
    folder: str
    limits: Mapping[str, float] = field(default_factory=dict)  # all, by figure
    times: Mapping[str, float] = field(default_factory=dict)  # of several devices
    peak_activation_bytes: int | None = None
    others: tuple[tuple[MetricFacts, Score], ...] = ()  # further metrics, on test
    raw: Score | None = None  # on test, before its fine-tuning
    gain: Score | None = None  # on test, by its fine-tuning, of the same examples
    from_largest: Score | None = None  # on test, of the same examples
    among: int = 0  # fine-tuned candidates that it is the best of on validation
    quantized: Quantized | None = None  # the same in int8 or int4, where it was extracted so
    bytes_on_disk: int | None = None  # of the coded file
    alike: int = 0  # other candidates within the limits that are as good within noise


@dataclass(frozen=True)
class AnchorPrediction:
    """One subnet that a profile measured, and its prediction by the model fitted without it."""

    measured_ms: float
    predicted_ms: float
    arch: Mapping[str, int]


@dataclass(frozen=True)
class DeviceResult:
    """One search on one device or several, with the first one's profile unless an earlier search shows it."""

    name: str  # of the search
    device: str  # the first
    description: Mapping[str, str]
    anchors: tuple[AnchorPrediction, ...]
    held_out_error: float | None  # mean absolute relative error, a fraction
    macs_only_error: float | None
    quality: str
    trials: tuple[Trial, ...]
    chosen: tuple[Chosen, ...]
    largest: Chosen | None
    others: tuple[str, ...] = ()  # the search's devices beside the first
    analysis: Analysis | None = None
    metric: MetricFacts | None = None  # of the search; None of a profile alone
    metric_limits: str = ""  # in words
    workload: Workload = USUAL  # of the first device's latencies
    ended: str = ""  # why the search ended early


@dataclass(frozen=True)
class Choice:
    """One choice of the space, for the picture of an architecture."""

    kind: str
    name: str
    values: tuple[int, ...]

    @property
    def key(self) -> str:
        """The name across kinds."""
        return f"{self.kind}.{self.name}"


@dataclass(frozen=True)
class Level:
    """One network on the way to a lottery ticket: a ticket, or a control of the same density."""

    kind: str
    density: float
    test: Score


@dataclass(frozen=True)
class Pruned:
    """One pruned network, from its card; densities are fractions."""

    name: str
    network: str  # model and data, such as "lenet300-mnist"
    metric: MetricFacts
    test: Score
    validation: Score
    dense_test: Score | None
    density: float
    weights: int
    kept: int
    kept_macs: int | None
    slim_params: int | None
    slim_macs: int | None
    layers: tuple[LayerRow, ...]
    levels: tuple[Level, ...] = ()
    files: tuple[str, ...] = ()  # paths of the portable files (ONNX and source), also of the slim network
    gain: Score | None = None  # from the dense network, on the same examples


@dataclass(frozen=True)
class Compared:
    """The result of `ofa compare`: every chosen subnet on every device that could be run."""

    content: Comparison
    is_old: bool  # whether there are newer searches
    workloads: Mapping[str, Workload]  # by device

    @property
    def metric(self) -> MetricFacts:
        """The metric that is compared first."""
        return self.content.metrics[0]

    @property
    def devices(self) -> list[str]:
        """The names of the devices that were measured."""
        return [device.name for device in self.content.devices]


@dataclass(frozen=True)
class Began:
    """How the training of one network began and ended, by its folder in the run; empty where there is nothing to say.

    Attributes:
        start: where its weights came from.
        ended: why it ended early.
    """

    network: str
    start: str
    ended: str


@dataclass(frozen=True)
class Warned:
    """One warning on a network, by its folder in the run."""

    network: str
    line: str


@dataclass(frozen=True)
class ReportData:
    """The content of one page."""

    run: str
    summary: Mapping[str, str]  # headline facts by label: model, data, space size
    choices: tuple[Choice, ...]
    history: tuple[Epoch, ...]
    metric: MetricFacts | None  # of the supernet's task; None without a supernet
    devices: tuple[DeviceResult, ...]
    commands: tuple[str, ...]
    digests: Mapping[str, str]
    config: str
    versions: Mapping[str, str] = field(default_factory=dict)
    pruned: tuple[Pruned, ...] = ()
    compared: Compared | None = None
    side_by_side: tuple[tuple[TunedSearch, ...], ...] = ()  # groups of searches with the same kind of fine-tuning
    warned: tuple[Warned, ...] = ()
    began: tuple[Began, ...] = ()
    layers: Layers | None = None
    compressed: tuple[CompressedCard, ...] = ()
