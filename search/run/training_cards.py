"""Cards of trained networks (supernets and dense ones) and their history, as JSON validated when it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from ofa.records import AtLeastOne, Count, Fraction, Hex, Name, NotNegative, Part, Positive, Record, Text, convert
from ofa.task import Score
from search.run.scores import MetricFacts, Scores, check_scored


class Epoch(Part, frozen=True, kw_only=True, omit_defaults=True):
    """One epoch of a training's history; figures that were not measured are absent.

    Attributes:
        epoch: 1 is the first.
        step: steps taken by its end.
        loss, seconds: the epoch's mean; since the training began.
        scores: on validation, by network ("largest", "smallest"; "network": a plain one) and metric.
        density, ended: fraction of the weights that are kept; why the training ended early.
    """

    epoch: Count
    step: Count
    loss: float | None
    learning_rate: NotNegative
    seconds: NotNegative
    scores: Mapping[str, Mapping[str, float]] | None = None
    density: Fraction | None = None
    ended: str = ""

    def value(self, network: str, metric: str) -> float | None:
        """Returns the value of a metric of a network, None if unknown."""
        return (self.scores or {}).get(network, {}).get(metric)


class TrainingStep(Epoch, frozen=True, kw_only=True):
    """How far a training is: the epoch so far, of so many epochs and steps."""

    epochs: Count
    total_steps: Count


class History(Record, frozen=True, kw_only=True):
    """history.json: a training's epochs."""

    KIND: ClassVar[str] = "history"

    rows: tuple[Epoch, ...]


def history_of(rows: Sequence[Mapping[str, Any]]) -> History:
    """Returns the History of a training from its rows (see `ofa.train.History`)."""
    return History(rows=convert(list(rows), tuple[Epoch, ...], "the history"))


class SpaceChoice(Part, frozen=True, kw_only=True):
    """One choice of a space."""

    kind: Literal["width", "depth", "kernel_size", "operator", "resolution"]
    name: Name
    values: Annotated[tuple[Count, ...], Meta(min_length=1)]
    active_when: tuple[Mapping[str, Count], ...]

    def __post_init__(self) -> None:
        if list(self.values) != sorted(set(self.values)) or self.values[-1] < 1:
            raise ValueError(f"values of {self.name} must be distinct and ascending, the largest above 0")


class EndScores(Part, frozen=True, kw_only=True):
    """Scores of a supernet's largest and smallest subnet."""

    largest: Scores
    smallest: Scores


class CalibrationFacts(Part, frozen=True, kw_only=True):
    """How many training examples norm statistics need, see `ofa.calibration_size.CalibrationSize`."""

    examples: AtLeastOne
    difference: NotNegative | None
    tolerance: Positive

    @property
    def text(self) -> str:
        """How many, and how far two halves of them agree, in words."""
        if self.difference is None:
            return "no layer has norm statistics to measure"
        halves = f"norm statistics of two halves of {self.examples:,} training examples"
        apart = f"{self.difference:.3f} standard deviations ({self.tolerance:g} asked for"
        if self.difference <= self.tolerance:
            return f"{halves} agree to {apart})"
        return f"{halves} differ by {apart}, and no more are read)"


class ProbeFacts(Part, frozen=True, kw_only=True):
    """The largest subnet in the supernet, and the same network trained alone, after the same epochs of both.

    Attributes:
        epochs: after which they are compared.
        margin: that the supernet may be behind, in points, or percent of the score alone.
        alone, supernet: the objective on validation.
        difference: of the supernet's from that alone, on the same examples.
    """

    epochs: AtLeastOne
    margin: NotNegative
    alone: Score
    supernet: Score
    difference: Score

    def text(self, metric: MetricFacts) -> str:
        """Returns the comparison in words."""
        return (
            f"{metric.gain_text(self.difference)} after {self.epochs} epoch{'' if self.epochs == 1 else 's'} of both "
            f"({metric.named_text(self.supernet.value)} against {metric.text(self.alone.value)} on the same "
            f"{self.alone.examples:,} validation examples)"
        )


class SupernetCard(Record, frozen=True, kw_only=True):
    """supernet.json.

    Attributes:
        subnets: how many subnets the space has.
        metrics: the objective first.
        baseline: of what the task answers without looking at the inputs; None: it has no such answer.
        seconds: how long the training took.
        calibration: of the largest and the smallest subnet; None: not measured.
        probe: of the largest subnet; None: there was none.
    """

    KIND: ClassVar[str] = "supernet"
    REMEDY: ClassVar[str] = "restore it, or train again with force=true"

    digest: Hex
    space_digest: Hex
    config_hash: Hex
    subnets: Annotated[float, Meta(ge=1)]
    space: tuple[SpaceChoice, ...]
    metrics: tuple[MetricFacts, ...]
    scores: EndScores
    baseline: Scores | None
    warnings: tuple[Text, ...]
    seconds: NotNegative
    calibration: CalibrationFacts | None = None
    probe: ProbeFacts | None = None

    def __post_init__(self) -> None:
        check_scored(self.metrics, self.scores.largest, self.scores.smallest, self.baseline)


class DenseCard(Record, frozen=True, kw_only=True):
    """The card of a dense network; `model` and `data` are names."""

    KIND: ClassVar[str] = "dense network"
    REMEDY: ClassVar[str] = "restore it, or delete its folder to train the dense network again"

    digest: Hex
    config_hash: Hex
    model: Text
    data: Text
    params: Count
    metrics: tuple[MetricFacts, ...]
    scores: Scores
    warnings: tuple[Text, ...]
    seconds: NotNegative

    def __post_init__(self) -> None:
        check_scored(self.metrics, self.scores)
