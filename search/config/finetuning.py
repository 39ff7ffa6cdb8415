"""How the chosen subnets of a search are fine-tuned, the group `finetune`."""

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
from search.config.tuning import HOW_TO_RUN


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
        if self.patience is not None and not self.validate_every:
            raise InvalidInput(
                f"finetune.patience={self.patience} counts validations, and validate_every=0 means none: "
                "give validate_every=1 or more, or patience=null"
            )

    @property
    def decides(self) -> dict[str, Any]:
        """The keys that decide the trained weights, as plain values."""
        measured = () if self.patience is None else ("validate_every",)  # scores decide then
        return without(plain(self), *(name for name in (*HOW_TO_RUN, "device") if name not in measured))
