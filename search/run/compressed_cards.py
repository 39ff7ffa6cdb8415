"""Cards and folders of compressed networks: what each stage left of bytes and score, validated when it is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from msgspec import Meta

from ofa.arch import Arch
from ofa.records import AtLeastOne, Count, Fraction, Hex, Name, NotNegative, Object, Part, Record, Text
from search.run.cards import InputPreprocessing, Rebuild
from search.run.scores import Gain, MetricFacts, Scores, check_scored


class Factors(Part, frozen=True, kw_only=True):
    """Layers that became products of thinner ones (see `ofa.compress.factorize`).

    Attributes:
        method: "svd" or "tucker".
        ranks: by path of the layer: one of an SVD, (outputs, inputs) of Tucker-2.
    """

    method: Text
    ranks: dict[Name, Annotated[tuple[AtLeastOne, ...], Meta(min_length=1, max_length=2)]]


class SizeRow(Part, frozen=True, kw_only=True):
    """The bytes of one tensor in a file.

    Attributes:
        name: of the tensor.
        numbers, kept: how many it has, and how many are not zero.
        positions: bytes that say where numbers are not zero.
        values: bytes of the numbers.
        tables: bytes of codebooks and of how often each value comes.
        rest: all other bytes.
        how: it is coded, in words.
    """

    name: Text
    numbers: Count
    kept: Count
    positions: Count
    values: Count
    tables: Count
    rest: Count
    how: Text = ""

    @property
    def bytes(self) -> int:
        """All of them."""
        return self.positions + self.values + self.tables + self.rest


class StageRow(Part, frozen=True, kw_only=True):
    """What a stage left.

    Attributes:
        stage: its name; "start" for the network before the first.
        density: fraction of the numbers of all parameters that are not removed.
        bytes: of the file if it were written then, without the card; of the last row, those of the file on disk.
        head: bytes of names, shapes, checksums and the card.
        tensors: a row each.
        seconds: that the stage took.
        gain: how far it is from the source, on the same examples; None: it is the source, or not known.
    """

    stage: Text
    density: Fraction
    bytes: Count
    head: Count
    tensors: tuple[SizeRow, ...]
    scores: Scores
    seconds: NotNegative
    gain: Gain | None = None

    def total(self, part: str) -> int:
        """Returns the bytes of "positions", "values", "tables" or "rest" of all tensors."""
        return int(sum(getattr(row, part) for row in self.tensors))


class CompressedCard(Record, frozen=True, kw_only=True):
    """The card of a compressed network; its file was read back from disk before this was written.

    Attributes:
        source: of which it was made, such as "the subnet onnxruntime-4ms".
        source_digest: of that network's weights.
        recipe: the name of the recipe.
        digest: of the tensors in the file.
        file: SHA-256 of model.ofaz.
        dense_bytes: of the source's parameters and buffers as they are.
        bytes: of model.ofaz.
        stages: in order; the first row is the source, the last is the file.
        factors: layers in parts.
    """

    KIND: ClassVar[str] = "compressed network"
    REMEDY: ClassVar[str] = "restore it, or compress again with force=true"

    name: Text
    source: Text
    source_digest: Hex
    recipe: Text
    config_hash: Hex
    digest: Hex
    file: Hex
    arch: Arch
    rebuild: Rebuild
    factors: tuple[Factors, ...] = ()
    data: Text
    preprocessing: InputPreprocessing
    class_names: tuple[Text, ...] = ()
    postprocessing: Text | None = None
    metrics: tuple[MetricFacts, ...]
    dense_bytes: Count
    bytes: AtLeastOne
    stages: Annotated[tuple[StageRow, ...], Meta(min_length=2)]
    seconds: NotNegative
    versions: dict[str, Text] = {}  # noqa: RUF012 (a struct copies it)
    warnings: tuple[Text, ...] = ()

    def __post_init__(self) -> None:
        check_scored(self.metrics, *(row.scores for row in self.stages))

    @property
    def scores(self) -> Scores:
        """Of the network in the file."""
        return self.stages[-1].scores


class StageState(Part, frozen=True, kw_only=True):
    """What is kept of a compression that is not finished, beside its tensors.

    Attributes:
        rows: of the stages that are done, the source first.
        factors: layers in parts.
        steps: by tensor that is shared, the step of its integers; None where it has none.
    """

    rows: tuple[StageRow, ...]
    factors: tuple[Factors, ...]
    steps: dict[str, float | None]


class OfazCard(Part, frozen=True, kw_only=True, omit_defaults=True):
    """The card inside a file: what a network is built from before its tensors are put in. Every byte counts.

    Attributes:
        model: the configuration that builds the full model, with `_target_`; None: only the user can build it.
        rules: of the supernet's space, those that are not the default.
        shape, classes: of one example of the full model, and its number of outputs.
        example: see `search.run.cards.Rebuild`.
        digest: of the tensors.
    """

    digest: Hex
    model: Object | None = None
    arch: Object = {}  # noqa: RUF012
    rules: Object = {}  # noqa: RUF012
    shape: tuple[Count, ...] | None = None
    classes: Count | None = None
    example: Object | None = None
    factors: tuple[Factors, ...] = ()


@dataclass(frozen=True)
class CompressedFolder:
    """The files of a compressed network."""

    root: Path

    @property
    def network(self) -> Path:
        """The network, one file (see `ofa.compress.load`)."""
        return self.root / "model.ofaz"

    @property
    def card(self) -> Path:
        """What is known about it: bytes and scores after each stage, where it came from."""
        return self.root / "card.json"

    @property
    def log(self) -> Path:
        """The same as text, with the bytes of every tensor."""
        return self.root / "log.txt"

    @property
    def state(self) -> Path:
        """An unfinished compression: what the stages that are done have left."""
        return self.root / "state.safetensors"

    @property
    def checkpoint(self) -> Path:
        """The state of a stage's unfinished training."""
        return self.root / "checkpoint.safetensors"
