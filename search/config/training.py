"""The settings of a training: of a supernet, a plain network or a chosen subnet; and whether its teacher can teach."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from ofa.errors import InvalidInput
from search.config.request import plain, without
from search.config.rules import (
    Between,
    CalibrationExamples,
    Count,
    FromZero,
    NotNegative,
    Positive,
    Share,
    ShareAboveZero,
    Target,
    Text,
)

# Keys of a training that do not change its result.
HOW_TO_RUN = ("checkpoint_seconds", "checkpoint_gradients", "validate_every")


class Sorting(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How units and blocks are sorted before a training, see conf/train/adapt.yaml.

    Attributes:
        by: what a unit is worth (see `ofa.importance`).
        batches: of training examples that this is measured on.
        blocks: whether the order in which blocks leave is measured too.
    """

    by: Target
    batches: Count = 8
    blocks: bool = False


class Training(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The training of a plain network, see conf/dense/.

    Attributes:
        epochs: 0 leaves the weights as they are at the start.
        minutes: after which the training ends, if its epochs have not; None: any time.
        compile: whether networks of every step run through torch.compile.
        channels_last: whether images and convolutions lie in memory with channels last.
        checkpoint_gradients: whether activations inside blocks are computed anew in the backward pass.
        synchronize_norms: whether batch norms see the examples of all processes that train together.
        accumulation: micro-batches that each batch is split into.
        ema: decay per step of an average of the weights, such as 0.999; None for no average.
        layer_decay: of the learning rate, for each block further from the output; None for the same everywhere.
        patience: validations without a better score that end the training, with the best weights; None for never.
        validate_every: epochs; 0 for only at the end.
        checkpoint_seconds: between two checkpoints.
    """

    optimizer: Target
    schedule: Target
    epochs: FromZero
    minutes: Positive | None = None
    batch_size: Count = 64
    gradient_clip: Positive | None = None
    accumulation: Count = 1
    ema: Between | None = None
    layer_decay: ShareAboveZero | None = None
    patience: Count | None = None
    precision: Literal["float32", "bfloat16", "float16", "int8", "int4"] = "float32"
    compile: bool = False
    channels_last: bool = False
    checkpoint_gradients: bool = False
    synchronize_norms: bool = False
    device: Text = "cpu"
    validate_every: FromZero = 5
    checkpoint_seconds: NotNegative = 30.0

    def __post_init__(self) -> None:
        _check_patience("patience", self.patience, self.validate_every)

    @property
    def decides(self) -> dict[str, Any]:
        """The keys that decide the trained weights, as plain values."""
        return _deciding(self)


class SupernetTraining(Training, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The training of a supernet, see conf/train/.

    Attributes:
        sort: how units and blocks are sorted before the first step; None for as they are.
        strategy: which subnets are trained in a step, and with which targets.
        batches_per_step: batches that a step reads, such as 4: each network of a sandwich has examples of its own;
            "auto" for one for each, where they learn nothing from the largest of the same step.
        rate_without_norms: factor on the learning rate of networks without normalization layers.
        gradients: how those of a step's networks are put together: "by_use", a function, or None for added up.
        sampling: how Archs are drawn; None for each choice by itself.
        warm_start: the fraction of the training for the largest alone; None for none.
        archs_per_rank: whether processes that train together draw the same Archs in a step.
        probe_epochs: after which the largest subnet is compared with the same network trained alone; 0 for never.
        probe_margin: points that it may be behind before a warning; percent, of metrics that are not in percent.
        calibration_images: the number of training images for norm statistics; "auto": as many as it takes.
    """

    strategy: Target
    batches_per_step: Count | Literal["auto"] = 1
    rate_without_norms: ShareAboveZero = 1.0
    sort: Sorting | None = None
    gradients: Literal["by_use"] | Target | None = None
    sampling: Target | None = None
    warm_start: Between | None = None
    calibration_images: CalibrationExamples = 1024
    archs_per_rank: Literal["same", "different"] = "same"
    probe_epochs: FromZero = 0
    probe_margin: NotNegative = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.probe_epochs > self.epochs:
            raise InvalidInput(
                f"train.probe_epochs={self.probe_epochs} compares during the training, which has train.epochs="
                f"{self.epochs}: give at most {self.epochs}, such as a tenth; 0 for no probe"
            )


class Length(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The length of a training that recipes of pruning refer to."""

    epochs: Count


class Finetuning(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fine-tuning of a subnet, see conf/finetune/default.yaml. What is None is as in the supernet's training.

    Attributes:
        epochs: of each subnet.
        minutes: after which the training of a subnet ends, if its epochs have not; None: any time.
        learning_rate: as a multiple of the supernet's.
        optimizer: another than the supernet's.
        schedule: of the learning rate.
        batch_size: examples a step.
        gradient_clip: largest norm of the gradient.
        accumulation: micro-batches that each batch is split into.
        distill: the share of the loss against the teacher's outputs.
        temperature: of both softmaxes, for tasks that have one.
        ema: decay per step of an average of the weights, which the subnet then has.
        layer_decay: of the learning rate, for each block further from the output.
        patience: validations without a better score that end the training, with the best weights; None for never.
        compile: whether the subnet runs through torch.compile.
        calibration_images: training images that norm statistics come from at the start.
        validate_every: epochs; 0 for only at the end.
        checkpoint_seconds: between two checkpoints.
    """

    epochs: Count = 20
    minutes: Positive | None = None
    learning_rate: Positive = 0.2
    optimizer: Target | None = None
    schedule: Target
    batch_size: Count | None = None
    gradient_clip: Positive | None = None
    accumulation: Count | None = None
    distill: Share = 0.5
    temperature: Positive | None = None
    ema: Between | None = None
    layer_decay: ShareAboveZero | None = None
    patience: Count | None = None
    precision: Literal["float32", "bfloat16", "float16", "int8", "int4"] | None = None
    compile: bool = False
    device: Text = "cpu"
    calibration_images: CalibrationExamples = 1024
    validate_every: FromZero = 1
    checkpoint_seconds: NotNegative = 30.0

    def __post_init__(self) -> None:
        _check_patience("finetune.patience", self.patience, self.validate_every)

    @property
    def decides(self) -> dict[str, Any]:
        """The keys that decide the trained weights, as plain values."""
        return without(_deciding(self), "device")


def _check_patience(key: str, patience: int | None, validate_every: int) -> None:
    if patience is not None and not validate_every:
        raise InvalidInput(
            f"{key}={patience} counts validations, and validate_every=0 means none before the end: give "
            "validate_every=1 or more, or patience=null"
        )


def _deciding(training: Training | Finetuning) -> dict[str, Any]:
    """The keys that decide the trained weights; with patience, scores decide too."""
    measured = () if training.patience is None else ("validate_every",)
    return without(plain(training), *(name for name in HOW_TO_RUN if name not in measured))


def is_average(teacher: Target | None) -> bool:
    """Returns whether a `teacher` group is the average of the weights that are trained, which is no other network."""
    return teacher is not None and teacher.get("_target_") == "ofa.train.average_teacher.taught_by_average"


def check_teaching(teacher: Target | None, training: SupernetTraining) -> None:
    """Checks the `teacher` group of a supernet's training.

    Raises:
        InvalidInput: an average where none is kept, or subnets that learn from targets alone.
    """
    if is_average(teacher) and training.ema is None:
        raise InvalidInput("teacher=average learns from averaged weights, and train.ema=null has none: give 0.99")
    if teacher and training.strategy.get("label_weight") == 1:
        raise InvalidInput(
            f"teacher={_name(teacher)} teaches nothing with train.strategy.label_weight=1: give less, such as 0.5, or "
            "teacher=largest"
        )


def check_taught(teacher: Target | None, share: float, key: str) -> None:
    """Checks the `teacher` group of a training after the supernet's or the dense network's.

    Args:
        share: of the loss against its outputs.
        key: of that share.

    Raises:
        InvalidInput: the average of a supernet that is being trained, or a share of 0, with which it teaches nothing.
    """
    if is_average(teacher):
        raise InvalidInput(
            "teacher=average is of the training of a supernet: give teacher=largest, teacher=start or teacher=network"
        )
    if teacher and not share:
        raise InvalidInput(
            f"teacher={_name(teacher)} teaches nothing with {key}=0: give a share of the loss, such as {key}=0.5"
        )


def _name(teacher: Target) -> str:
    return "average" if is_average(teacher) else str(teacher.get("_target_")).rpartition(".")[2]
