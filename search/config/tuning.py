"""Requests for training: of supernets and plain networks, candidates of a joint search, and pruned networks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from ofa.errors import InvalidInput
from search.config.request import Request, part, plain
from search.config.rules import Between, Count, FromZero, Positive, Seed, Share, ShareAboveZero, Target, Text
from search.config.training import HOW_TO_RUN as HOW_TO_RUN
from search.config.training import SupernetTraining as SupernetTraining
from search.config.training import Training as Training
from search.config.training import check_teaching


class Data(Struct, frozen=True, kw_only=True):
    """A data set, and the augmentation of its training images."""

    dataset: Target
    augment: Target | None = None


class SupernetRecipe(Struct, frozen=True, kw_only=True):
    """The inputs of a supernet's training, as `ofa train` stores them in config.yaml.

    Attributes:
        start: what fills the model with weights before its training; None for those of its class.
        teacher: makes the network that subnets learn from; None for the largest subnet.
    """

    model: Target
    start: Target | None = None
    data: Data
    task: Target
    teacher: Target | None = None
    space: Target
    train: SupernetTraining
    seed: Seed = 0

    def __post_init__(self) -> None:
        _check_epochs("train", self.train.epochs, self.start)
        check_teaching(self.teacher, self.train)

    @property
    def decides(self) -> dict[str, Any]:
        """The inputs that decide the trained weights, as plain values."""
        return {**plain(self), "train": self.train.decides}


def _check_epochs(group: str, epochs: int, start: Target | None) -> None:
    if epochs == 0 and not start:
        raise InvalidInput(
            f"{group}.epochs=0 takes the weights of a start as they are, and start=fresh has none: give "
            f"start=checkpoint start.path=FILE, or {group}.epochs of at least 1"
        )


class NetworkRecipe(Struct, frozen=True, kw_only=True):
    """The inputs of the training of a plain, dense network.

    Attributes:
        start: what fills the model with weights before its training; None for those of its class.
        initializer: of the initial weights; None for those of the model's class.
    """

    model: Target
    start: Target | None = None
    data: Data
    task: Target
    initializer: Target | None = None
    dense: Training
    seed: Seed = 0

    def __post_init__(self) -> None:
        _check_epochs("dense", self.dense.epochs, self.start)
        if self.start and self.initializer:
            given = [
                str(target.get("_target_")).rpartition(".")[2].rstrip("_") for target in (self.initializer, self.start)
            ]
            raise InvalidInput(
                f"initializer={given[0]} draws anew what start={given[1]} reads: give initializer=built, or start=fresh"
            )

    @property
    def decides(self) -> dict[str, Any]:
        """The inputs that decide the trained weights, as plain values."""
        return {**plain(self), "dense": self.dense.decides}


class TrainRequest(Request, frozen=True, kw_only=True):
    """The request of `ofa train`.

    Attributes:
        engine: starts the processes that train; None for this one, or those that torchrun started.
    """

    model: Target
    start: Target | None = None
    data: Data
    task: Target
    teacher: Target | None = None
    space: Target
    train: SupernetTraining
    engine: Target | None = None

    @property
    def recipe(self) -> SupernetRecipe:
        """The inputs of the supernet's training."""
        return part(self, SupernetRecipe)


class LayerGroup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group of layers with a precision of its own.

    Attributes:
        match: globs of layers.
        precision: what they compute in.
    """

    match: Annotated[tuple[Text, ...], Meta(min_length=1, title="globs of layers, such as [stages.0.*]")]
    precision: Literal["float32", "int8"]


LEAST_ARCHS = 10  # fewer are too few to learn from


class Tuning(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fine-tuning of the candidates of a search, see conf/search/joint.yaml.

    Attributes:
        epochs: of a candidate's fine-tuning.
        start: the initial weights: those of the supernet, its early ones, or fresh ones.
        rewind: the fraction of the supernet's training whose weights are the early ones.
        augment: of the training images; None for that of the supernet's training.
        precision: of the candidate, trained, judged and timed so; of several it is the searched setting `precision`.
        precisions: groups of layers by name, each with what it computes in, in place of `precision`; it is the searched
            setting `precision_<group>`. The last group that names a layer counts; others compute in float32.
        zero_shot: Archs that are evaluated in the supernet first; 0 for none.
        rungs: epochs after which the worst stop early; 0 judges by the scores in the supernet.
        keep: the share that continues.
        least: how many continue in any case.
        pruner: an Optuna pruner instead, if the metric is the only objective.
        finalist_epochs: epochs of the candidates that are measured.
    """

    epochs: Count = 6
    start: Literal["inherit", "rewind", "fresh"] = "inherit"
    rewind: Between = 0.1
    augment: Target | None = None
    precision: Literal["float32", "int8"] = "float32"
    precisions: dict[str, LayerGroup] | None = None
    zero_shot: FromZero = 200
    rungs: tuple[FromZero, ...] = (0, 2)
    keep: ShareAboveZero = 0.5
    least: Count = 8
    pruner: Target | None = None
    finalist_epochs: Count = 20

    def __post_init__(self) -> None:
        if 0 < self.zero_shot < LEAST_ARCHS:
            raise InvalidInput(
                f"search.tuning.zero_shot={self.zero_shot} must be a whole number of at least {LEAST_ARCHS}, or 0"
            )
        if list(self.rungs) != sorted(set(self.rungs)):
            raise InvalidInput(f"search.tuning.rungs={list(self.rungs)} must be epochs, rising, such as [0, 2]")

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Globs of layers by the name of the group that has a precision of its own."""
        return {name: group.match for name, group in (self.precisions or {}).items()}

    @property
    def groups_in_int8(self) -> tuple[str, ...]:
        """The names of the groups that compute in int8."""
        return tuple(name for name, group in (self.precisions or {}).items() if group.precision == "int8")


class Retraining(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The differences from the training of the dense network.

    Attributes:
        learning_rate: as a multiple of that of the dense training.
        distill: the share of the loss against the outputs of the dense network, at `temperature`; None
            for the task's own.
    """

    epochs: Count
    learning_rate: Positive = 1.0
    distill: Share = 0.0
    temperature: Positive | None = None


class Pruning(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recipe of pruning, see conf/prune/cubic.yaml.

    Attributes:
        sparsity: the fraction removed in the end; None if the method does not use it.
        keep: patterns of layers that stay whole.
        include: patterns of embeddings, positions, biases or norms that are pruned too.
        scoring: batches of training images that criteria measure on.
        slim: whether zero channels are removed, for a network that is actually smaller.
    """

    sparsity: Annotated[float, Meta(ge=0, lt=1, description="the fraction removed")] | None = 0.9
    start: Text = "dense"
    criterion: Target
    allocation: Target
    granularity: Target
    method: Target
    schedule: Target | None = None
    regrowth: Target | None = None
    regularizers: dict[str, Target] | None = None
    followers: dict[str, Target] | None = None
    keep: tuple[Text, ...] = ()
    include: tuple[Text, ...] = ()
    scoring: Count = 10
    slim: bool = False
    retraining: Retraining

    def __post_init__(self) -> None:
        if self.sparsity is None and "_target_" in (self.schedule or {}):
            raise InvalidInput("prune.sparsity=None, the fraction removed, must be set for a schedule")


class CandidateSearch(Struct, frozen=True, kw_only=True):
    """The part of the group `search` that concerns one candidate."""

    tuning: Tuning


class CandidateRequest(Struct, frozen=True, kw_only=True):
    """The fine-tuning of one candidate of a joint search: the configuration with its settings.

    Attributes:
        initializer: of fresh weights; None for those of the model's class.
    """

    seed: Seed
    initializer: Target | None = None
    dense: Training
    prune: Pruning
    search: CandidateSearch
