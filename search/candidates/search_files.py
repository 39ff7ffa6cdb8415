"""The JSON files of a search, each a record that is validated when it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from ofa.arch import Arch
from ofa.records import Count, FileName, Hex, Name, NotNegative, Part, Positive, Record, Text
from ofa.task import Score
from search.candidates.figures import is_figure
from search.candidates.space import Candidate, TuningEpoch
from search.run.cards import Limits, Onnx, Quantized, Setting, Times
from search.run.scores import Gain, MetricFacts, Scores, Values, check_scored, first

Figures = Mapping[str, NotNegative]
Metrics = Annotated[tuple[MetricFacts, ...], Meta(min_length=1)]
PROPOSED = ("given up", "infeasible", "duplicate")
State = Literal["evaluated", "given up", "infeasible", "duplicate", "failed"]


class TrialRow(Part, frozen=True, kw_only=True):
    """One finished trial.

    Attributes:
        figures: by name, see `search.candidates.figures`; latencies are predictions in ms.
        scores: on validation by metric, the objective first; empty where it was not evaluated.
        seconds, cached: how long the evaluation took, and whether it came from the cache.
        reason: why it was not evaluated, or what failed.
        settings: of its fine-tuning, by name; empty where only the Arch is searched.
        history: the epochs of its fine-tuning.
    """

    number: Count
    state: State
    arch: Arch | None
    figures: Figures
    scores: Values
    seconds: NotNegative | None
    cached: bool
    reason: str
    settings: Mapping[str, Setting] = {}
    history: tuple[TuningEpoch, ...] = ()

    def __post_init__(self) -> None:
        if self.state == "evaluated" and (self.arch is None or not self.scores):
            raise ValueError(f"trial {self.number} was evaluated and has no arch or no scores")
        if self.state in PROPOSED and self.arch is None:
            raise ValueError(f"trial {self.number} is {self.state} and has no arch")

    @property
    def score(self) -> Score | None:
        """The score of the objective; None where it was not evaluated."""
        return first(self.scores) if self.scores else None

    def costs(self, objectives: Sequence[str], metric: MetricFacts) -> list[float]:
        """Returns the objectives of an evaluated trial, all so that lower is better."""
        assert self.score is not None  # it was evaluated
        quality = metric.quality(self.score.value)
        return [self.figures[name] if is_figure(name) else -quality for name in objectives]

    @property
    def candidate(self) -> Candidate | None:
        """The Arch with its settings."""
        return None if self.arch is None else Candidate(self.arch, tuple(self.settings.items()))


class Trials(Record, frozen=True, kw_only=True, omit_defaults=True):
    """trials.json.

    Attributes:
        metrics: of the scores, the objective first.
        ended: why the search ended before all its evaluations were made; empty if it did not.
    """

    KIND: ClassVar[str] = "trials"
    REMEDY: ClassVar[str] = "delete the search's stage.json, and the same ofa search writes it again"

    metrics: Metrics
    rows: tuple[TrialRow, ...]
    ended: str = ""

    def __post_init__(self) -> None:
        check_scored(self.metrics, *(row.scores for row in self.rows if row.state == "evaluated"))


class MeasuredSubnet(Part, frozen=True, kw_only=True, omit_defaults=True):
    """A measured subnet.

    Attributes:
        predicted_ms, measured_ms: latency on the first device.
        predicted, measured: ms by the name of the device's latency figure, the first device's first.
        figures: the other figures of the Arch by name, exact.
    """

    arch: Arch
    predicted_ms: NotNegative
    measured_ms: Positive
    predicted: Annotated[Times, Meta(min_length=1)]
    measured: Annotated[Mapping[str, Positive], Meta(min_length=1)]
    figures: Figures


class MeasuredTrial(MeasuredSubnet, frozen=True, kw_only=True):
    """A measured candidate.

    Attributes:
        trial: the number of its trial.
        scores: on validation by metric, the objective first.
        settings: of its fine-tuning; empty without fine-tuning.
        tuned: the name of its fine-tuned network's folder.
        raw: the scores before `finetune`, by which the search ranked it; empty without.
        gain: what `finetune` has changed of the objective on validation, of the same examples.
        among: how many fine-tuned candidates it was chosen from.
        file_bytes: of its coded file, counted, where these matter.
        int8, int8_gain: its scores in int8, where it was judged so, and the objective's difference from `score`.
        int8_sizes: what its file in int8 takes, by figure.
    """

    trial: Count
    scores: Annotated[Values, Meta(min_length=1)]
    settings: Mapping[str, Setting] = {}
    tuned: Hex | None = None
    raw: Mapping[Name, Score] = {}
    gain: Score | None = None
    among: Count = 0
    file_bytes: Count | None = None
    int8_sizes: Mapping[Name, Count] = {}
    int8: Mapping[Name, Score] = {}
    int8_gain: Score | None = None

    @property
    def score(self) -> Score:
        """The score of the objective."""
        return first(self.scores)


class Finalist(Part, frozen=True, kw_only=True):
    """The candidate chosen for a target, and the candidates tried before it that measured above a limit.

    Attributes:
        target: limits by figure, latencies in ms.
        margin: how far below its limits it measured: the smallest fraction of a limit; None without limits.
        alike: how many other candidates within the limits have a score that differs by less than two standard errors.
    """

    target: Limits
    margin: float | None
    chosen: MeasuredTrial
    missed: tuple[MeasuredTrial, ...]
    alike: Count = 0


class MeasurementQuality(Part, frozen=True, kw_only=True):
    """How far to trust a measurement.

    Attributes:
        verdict: "ok", "more visits" or "noisy".
        drift: how much slower the machine was than when it was profiled; 1.1 is 10 %.
    """

    verdict: Text
    drift: Positive


class Finalists(Record, frozen=True, kw_only=True):
    """finalists.json.

    Attributes:
        device: the first device of the search.
        devices: all its devices, by the name of the device's latency figure.
        metrics: of the scores, the objective first.
        metric_limits: the worst value allowed, by metric.
        margin: how far predictions stay below latency limits, a fraction; by figure where there are several devices.
        measurement: the quality on the first device.
        measurements: the quality by latency figure.
    """

    KIND: ClassVar[str] = "finalists"
    REMEDY: ClassVar[str] = "delete it with the search's stage.json, and the same ofa search writes it again"

    device: FileName
    devices: Annotated[Mapping[str, FileName], Meta(min_length=1)]
    metrics: Metrics
    metric_limits: Mapping[str, float] = {}
    margin: float | Mapping[str, float]
    finalists: tuple[Finalist, ...]
    largest: MeasuredSubnet
    measurement: MeasurementQuality
    measurements: Mapping[str, MeasurementQuality]

    def __post_init__(self) -> None:
        trials = [trial for finalist in self.finalists for trial in (finalist.chosen, *finalist.missed)]
        check_scored(self.metrics, *(trial.scores for trial in trials))


class SubnetRow(Part, frozen=True, kw_only=True, omit_defaults=True):
    """A subnet in the list of extracted subnets.

    Attributes:
        largest: whether it is the largest subnet, the reference, which alone has an `arch` and no folder.
        folder: relative to the run's folder, which can be moved.
        limits, limit_ms: all by figure, latencies in ms; that of the first device that has one.
        predicted, measured: ms by the name of the device's latency figure; with _ms on the search's first device.
        macs, bytes: multiply-accumulates of one example; parameters and buffers as stored.
        margin: how far below its limits it measured, a fraction.
        raw: the scores before its fine-tuning; None where the weights are the supernet's.
        gain: of the objective by fine-tuning, where it is known example by example.
        from_largest: the objective less that of the largest subnet, on the same examples.
        quantized: the same in int8 or int4, where that was asked for.
        bytes_on_disk: of its coded file, where that was limited or optimized.
    """

    largest: bool
    folder: Text | None
    device: Text
    limit_ms: Positive | None
    limits: Limits | None
    predicted_ms: NotNegative | None
    measured_ms: Positive | None
    predicted: Times | None
    measured: Times | None
    scores: Scores
    macs: Count
    params: Count
    bytes: Count
    margin: float | None
    onnx: Onnx | None
    peak_activation_bytes: Count | None
    raw: Scores | None = None
    gain: Gain | None = None
    from_largest: Gain | None = None
    quantized: Quantized | None = None
    bytes_on_disk: Count | None = None
    arch: Arch | None = None


class SubnetList(Record, frozen=True, kw_only=True):
    """subnets/<search>.json: one row per subnet, the largest last; `metrics` as in `Trials`."""

    KIND: ClassVar[str] = "subnets"
    REMEDY: ClassVar[str] = "extract again with force=true"

    metrics: Metrics
    rows: tuple[SubnetRow, ...]

    def __post_init__(self) -> None:
        check_scored(self.metrics, *(row.scores for row in self.rows), *(row.raw for row in self.rows))
