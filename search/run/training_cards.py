"""Cards of trained networks (supernets, dense and pruned) and their history, as JSON validated when it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from ofa.records import Count, Fraction, Hex, Name, NotNegative, Object, Part, Record, Text, convert
from search.run.cards import Accuracy, InputPreprocessing, NetworkCard


class Epoch(Part, frozen=True, kw_only=True, omit_defaults=True):
    """One epoch of a training's history; figures that were not measured are absent.

    Attributes:
        epoch: 1 is the first.
        step: steps taken by its end.
        loss: mean loss of the epoch.
        seconds: time since the training began.
        scores: on validation, by network ("largest", "smallest"; "network": a plain one) and metric.
        density: fraction of the weights that are kept.
    """

    epoch: Count
    step: Count
    loss: float | None
    learning_rate: NotNegative
    seconds: NotNegative
    scores: Mapping[str, Mapping[str, float]] | None = None
    density: Fraction | None = None

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


class EndAccuracies(Part, frozen=True, kw_only=True):
    """Accuracies of a supernet's largest and smallest subnet."""

    largest: Accuracy
    smallest: Accuracy


class SupernetCard(Record, frozen=True, kw_only=True):
    """supernet.json.

    Attributes:
        subnets: how many subnets the space has.
        seconds: how long the training took.
    """

    KIND: ClassVar[str] = "supernet"
    REMEDY: ClassVar[str] = "restore it, or train again with force=true"

    digest: Hex
    space_digest: Hex
    config_hash: Hex
    subnets: Annotated[float, Meta(ge=1)]
    space: tuple[SpaceChoice, ...]
    accuracy: EndAccuracies
    warnings: tuple[Text, ...]
    seconds: NotNegative


class DenseCard(Record, frozen=True, kw_only=True):
    """The card of a dense network; `model` and `data` are names."""

    KIND: ClassVar[str] = "dense network"
    REMEDY: ClassVar[str] = "restore it, or delete its folder to train the dense network again"

    digest: Hex
    config_hash: Hex
    model: Text
    data: Text
    params: Count
    accuracy: Accuracy
    warnings: tuple[Text, ...]
    seconds: NotNegative


class Histogram(Part, frozen=True, kw_only=True):
    """The remaining weights of a layer: counts in bins of equal width from `low` to `high`."""

    low: float
    high: float
    counts: tuple[Count, ...]


class LayerRow(Part, frozen=True, kw_only=True):
    """A layer of a pruned network: its number of weights, and how many are kept.

    Attributes:
        histogram: None where no weight is left.
    """

    name: Text
    shape: tuple[Count, ...]
    weights: Count
    kept: Count
    histogram: Histogram | None


class LevelRow(Part, frozen=True, kw_only=True):
    """A level of a lottery: a ticket, or a control of the same density.

    Attributes:
        kind: "ticket" or the name of the control.
        asked: the target density, a fraction.
        density: the density it has.
    """

    level: Count
    kind: Text
    seed: int
    asked: Fraction
    density: Fraction
    kept: Count
    weights: Count
    accuracy: Accuracy


class DenseFacts(Part, frozen=True, kw_only=True):
    """The network that pruning started from."""

    digest: Hex
    accuracy: Accuracy
    params: Count


class PruneFacts(Part, frozen=True, kw_only=True):
    """The origin of a pruned network (see `PrunedCard`)."""

    name: Text
    network: Text
    seed: int
    sparsity: float | None
    config_hash: Hex
    dense: DenseFacts | None


class OutcomeFacts(Part, frozen=True, kw_only=True):
    """What a method reports about the network that it made (see `PrunedCard`)."""

    kept_macs: Count | None
    predicted_bytes: Count
    found_accuracy: Fraction | None = None
    found_cost: NotNegative | None = None
    search: tuple[Object, ...] | None = None


class DataCard(NetworkCard, frozen=True, kw_only=True):
    """The card of a network that was trained on a data set, with the data set's name."""

    REMEDY: ClassVar[str] = "restore it, or prune again with force=true"

    data: Text
    num_classes: Count
    class_names: tuple[Text, ...]
    preprocessing: InputPreprocessing


class SlimCard(DataCard, frozen=True, kw_only=True):
    """The card of a slim network, a pruned one with its zeros removed, in a folder inside the full-size network's.

    Attributes:
        folder: the name of its folder.
        macs: multiply-accumulates of one example; None where they cannot be counted.
        shapes: shapes of its weights by name.
    """

    folder: Text
    digest: Hex
    params: Count
    macs: Count | None
    accuracy: Accuracy
    shapes: Mapping[str, tuple[Count, ...]]


class PrunedCard(DataCard, frozen=True, kw_only=True, omit_defaults=True):
    """The card of a pruned network.

    Attributes:
        network: model and data, such as "lenet300-mnist".
        sparsity: the fraction of weights that the recipe removes.
        params: number of entries of all parameters.
        weights, kept, density: number of prunable weights, how many are kept, and their fraction.
        macs, kept_macs: multiply-accumulates of one example, of all weights and of the kept ones.
        predicted_bytes: size on disk, zeros left out.
        found_accuracy, found_cost: of the masks that a method learned, before the training; fractions.
        search: the history rows of that method.
        seconds: how long the training took.
    """

    name: Text
    network: Text
    seed: int
    sparsity: float | None
    config_hash: Hex
    digest: Hex
    accuracy: Accuracy
    params: Count
    weights: Count
    kept: Count
    density: Fraction
    macs: Count | None
    kept_macs: Count | None
    predicted_bytes: Count
    found_accuracy: Fraction | None = None
    found_cost: NotNegative | None = None
    search: tuple[Object, ...] | None = None
    dense: DenseFacts | None
    slim: SlimCard | None
    layers: tuple[LayerRow, ...]
    levels: tuple[LevelRow, ...]
    seconds: NotNegative
