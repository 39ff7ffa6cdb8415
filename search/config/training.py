"""The settings of a training: of a supernet, and of a plain network."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from search.config.rules import Between, Count, FromZero, NotNegative, Positive, Target, Text


class Training(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The training of a plain network, see conf/dense/.

    Attributes:
        epochs: 0 leaves the weights as they are at the start.
        minutes: after which the training ends, if its epochs have not; None: any time.
        compile: whether networks of every step run through torch.compile.
        accumulation: micro-batches that each batch is split into.
        ema: decay per step of an average of the weights, such as 0.999; None for no average.
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
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    compile: bool = False
    device: Text = "cpu"
    validate_every: FromZero = 5
    checkpoint_seconds: NotNegative = 30.0


class SupernetTraining(Training, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The training of a supernet, see conf/train/.

    Attributes:
        strategy: which subnets are trained in a step, and with which targets.
        calibration_images: the number of training images for norm statistics.
    """

    strategy: Target
    calibration_images: Count = 1024
