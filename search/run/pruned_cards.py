"""Cards of pruned networks, and of what they were made from, as JSON validated when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ofa.records import Count, Fraction, Hex, NotNegative, Object, Part, Text
from search.run.cards import InputPreprocessing, NetworkCard
from search.run.scores import Gain, MetricFacts, Scores, check_scored


class Histogram(Part, frozen=True, kw_only=True):
    """The remaining weights of a layer: counts in bins of equal width from `low` to `high`."""

    low: float
    high: float
    counts: tuple[Count, ...]


class LayerRow(Part, frozen=True, kw_only=True):
    """A layer of a pruned network: its number of weights, and how many are kept.

    Attributes:
        name: of the parameter.
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
    scores: Scores


class DenseFacts(Part, frozen=True, kw_only=True):
    """The network that pruning started from."""

    digest: Hex
    scores: Scores
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
    whole: Mapping[Text, Count] = {}
    found_quality: float | None = None
    found_cost: NotNegative | None = None
    search: tuple[Object, ...] | None = None


class DataCard(NetworkCard, frozen=True, kw_only=True):
    """The card of a network that was trained on a data set, with the data set's name.

    `postprocessing` says how outputs become what people read, in words; None where they are it.
    """

    REMEDY: ClassVar[str] = "restore it, or prune again with force=true"

    data: Text
    num_classes: Count
    class_names: tuple[Text, ...]
    preprocessing: InputPreprocessing
    postprocessing: Text | None = None


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
    metrics: tuple[MetricFacts, ...]
    scores: Scores
    shapes: Mapping[str, tuple[Count, ...]]


class PrunedCard(DataCard, frozen=True, kw_only=True, omit_defaults=True):
    """The card of a pruned network.

    Attributes:
        network: model and data, such as "lenet300-mnist".
        sparsity: the fraction of weights that the recipe removes.
        params: number of entries of all parameters.
        weights, kept, density: number of prunable weights, how many are kept, and their fraction.
        gain: how far its objective is from the dense network's, on the same examples; None: not known.
        macs, kept_macs: multiply-accumulates of one example, of all weights and of the kept ones.
        predicted_bytes: size on disk, zeros left out.
        whole: entries of the parameters that are not prunable, by role, such as "embedding" and "bias or norm".
        found_quality: of the masks that a method learned, before the training: more is better.
        found_cost: of the same, a fraction.
        search: the history rows of that method.
        seconds: how long the training took.
    """

    name: Text
    network: Text
    seed: int
    sparsity: float | None
    config_hash: Hex
    digest: Hex
    metrics: tuple[MetricFacts, ...]
    scores: Scores
    params: Count
    weights: Count
    kept: Count
    density: Fraction
    macs: Count | None
    kept_macs: Count | None
    predicted_bytes: Count
    whole: Mapping[Text, Count] = {}
    found_quality: float | None = None
    found_cost: NotNegative | None = None
    search: tuple[Object, ...] | None = None
    dense: DenseFacts | None
    gain: Gain | None = None
    slim: SlimCard | None
    layers: tuple[LayerRow, ...]
    levels: tuple[LevelRow, ...]
    seconds: NotNegative

    def __post_init__(self) -> None:
        others = [each.scores for each in (self.dense, self.slim) if each is not None]
        check_scored(self.metrics, self.scores, *others, *(level.scores for level in self.levels))
