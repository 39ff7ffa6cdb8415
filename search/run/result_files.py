"""comparison.json and layers.json as records: subnets of each device on every device; what can vary in a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from ofa.arch import Arch
from ofa.inspection import Inspection
from ofa.records import AtLeastOne, Count, Hex, Name, NotNegative, Part, Positive, Record, Text, convert
from ofa.task import Score
from search.run.cards import Limits
from search.run.scores import MetricFacts, Scores, check_scored


class DeviceRow(Part, frozen=True, kw_only=True):
    """A device that was measured: its runtime in words, and how far to trust the measurement."""

    name: Name
    runtime: Text
    verdict: Text


class PurposeRow(Part, frozen=True, kw_only=True):
    """What a search chose a subnet for.

    Attributes:
        devices: the devices of the search, in its order.
        limits_ms: latency limits by device.
        limits: limits on other figures, by name.
    """

    search: Name
    devices: tuple[Name, ...]
    limits_ms: Mapping[str, Positive]
    limits: Limits


class LimitRow(Part, frozen=True, kw_only=True):
    """A latency limit, and whether the subnet meets it."""

    limit_ms: Positive
    met: bool


class SubnetOnDevice(Part, frozen=True, kw_only=True):
    """A subnet's latency on a device.

    Attributes:
        of_largest: its latency as a fraction of the largest subnet's.
        limits: every latency limit on that device, ascending.
    """

    ms: Positive
    of_largest: Positive
    limits: tuple[LimitRow, ...]


class SubnetComparison(Part, frozen=True, kw_only=True):
    """A subnet on every device.

    Attributes:
        name: a letter, or "largest".
        chosen_for: empty for a subnet that only serves as the reference.
        macs: multiply-accumulates of one example.
        bytes: parameters and buffers as stored.
        on: results by device.
    """

    name: Name
    arch: Arch
    chosen_for: tuple[PurposeRow, ...]
    scores: Scores
    macs: Count
    params: Count
    bytes: Count
    on: Mapping[str, SubnetOnDevice]

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that it was chosen for, sorted."""
        return tuple(sorted({device for purpose in self.chosen_for for device in purpose.devices}))


class PairSide(Part, frozen=True, kw_only=True):
    """One of two subnets that are compared: its name, its latency on the device, its score on test."""

    subnet: Name
    ms: Positive
    score: Score


class PairComparison(Part, frozen=True, kw_only=True):
    """The subnet chosen for a device, and the one chosen for another device under a comparable limit.

    Attributes:
        limits: limits on figures other than latency, the same for both.
        same_score: scores that differ by no more than this count as equal.
        better: whether the device's own subnet is better on it.
        sense: in what sense it is better.
        reason: why it is not better, where it is not.
    """

    device: Name
    limit_ms: Positive
    limits: Limits
    own: PairSide
    other_device: Name
    other_limit_ms: Positive
    other: PairSide
    same_score: NotNegative
    better: bool
    sense: Text
    reason: Text

    @property
    def verdict(self) -> str:
        """In what sense the own choice is better, or why it is not."""
        return self.sense if self.better else f"{self.sense}: {self.reason}"


class Comparison(Record, frozen=True, kw_only=True):
    """comparison.json.

    Attributes:
        subnets: the largest last.
        finding: the result of the comparison, in words.
        same_time: latencies that differ by no more than this fraction count as equal.
        metrics: of the scores, that which is compared first.
        test_examples: the number of examples behind the scores on test.
        comparable: the factor within which limits, as fractions of the largest subnet's latency, are comparable.
        searches: digest of the subnets that the searches chose.
    """

    KIND: ClassVar[str] = "comparison"
    REMEDY: ClassVar[str] = "compare again with force=true"

    devices: Annotated[tuple[DeviceRow, ...], Meta(min_length=1)]
    subnets: tuple[SubnetComparison, ...]
    pairs: tuple[PairComparison, ...]
    finding: Text
    same_time: NotNegative
    metrics: Annotated[tuple[MetricFacts, ...], Meta(min_length=1)]
    test_examples: AtLeastOne
    comparable: Positive
    searches: Hex

    def __post_init__(self) -> None:
        check_scored(self.metrics, *(subnet.scores for subnet in self.subnets))
        names = {device.name for device in self.devices}
        for subnet in self.subnets:
            if not names <= subnet.on.keys():
                raise ValueError(f"subnet {subnet.name} was not measured on every device")


class InspectedLayer(Part, frozen=True, kw_only=True):
    """One layer or stage: its name, class and state, the values that it can take, and why."""

    layer: Text
    kind: Text
    state: Literal["elastic", "coupled", "fixed"]
    choices: tuple[Count, ...]
    reason: str


class ObstacleRow(Part, frozen=True, kw_only=True):
    """Why some parameters have no choice, and what would free them; see `ofa.inspection.Obstacle`."""

    reason: Text
    cure: str
    parameters: Count
    layers: tuple[Text, ...]


class Layers(Record, frozen=True, kw_only=True):
    """layers.json; figures as in `ofa.inspection.Inspection`, but `subnets` is text: it may have 400 digits."""

    KIND: ClassVar[str] = "layers"
    REMEDY: ClassVar[str] = "delete it: it is only shown"

    model: Text
    choices: Mapping[str, Count]
    subnets: Annotated[str, Meta(pattern=r"^[0-9]{1,4000}$")]
    parameters: Count
    elastic: Count
    smallest: Count
    rows: tuple[InspectedLayer, ...]
    obstacles: tuple[ObstacleRow, ...]


def layers_of(inspection: Inspection, model: str) -> Layers:
    """Returns the record of an inspection of a model of that name."""
    rows = [{**vars(row)} for row in inspection.rows]
    obstacles = [{**vars(obstacle)} for obstacle in inspection.obstacles]
    return Layers(
        model=model,
        choices=inspection.choices,
        subnets=str(inspection.subnets),
        parameters=inspection.parameters,
        elastic=inspection.elastic,
        smallest=inspection.smallest,
        rows=convert(rows, tuple[InspectedLayer, ...], "the layers"),
        obstacles=convert(obstacles, tuple[ObstacleRow, ...], "the obstacles"),
    )
