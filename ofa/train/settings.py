"""Settings of a training, whatever is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ofa.data import Augment
from ofa.errors import InvalidInput, nearest
from ofa.precisions import Int8Layers
from ofa.train.optimizers import OptimizerBuilder
from ofa.train.precision import FEWER_BITS, PRECISIONS
from ofa.train.schedules import Schedule, cosine

# Fields that say how a training is run and change nothing that comes out of it.
HOW_TO_RUN = (
    "device",
    "stop_step",
    "validate_every",
    "calibration_images",
    "checkpoint_seconds",
    "checkpoint_steps",
    "checkpoint_gradients",
)

ARCHS_PER_RANK = ("same", "different")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Settings of the training loop, the same for supernets and plain networks.

    Attributes:
        optimizer: makes the optimizer from parameter groups, such as partial(torch.optim.SGD, lr=0.1).
        epochs: passes over the training split.
        minutes: after which the training ends, if its epochs have not: the step is finished, and the last row says so
            in `ended`. The schedule and the phases of a strategy follow steps or time, whichever is further, so that
            they are at their end then too. What comes out depends on the machine's speed. None: any time.
        batch_size: examples that a network learns from in a step.
        batches_per_step: batches of that size that a step of a supernet reads, such as 4: each network of a sandwich
            then learns from examples of its own. Steps of an epoch, and with them its cost, stay as they are; the
            training split is read as many times in an epoch.
        schedule: (step, total steps) -> factor on the optimizer's learning rates.
        seed: of batches, augmentation, Archs and dropout.
        augment: (images, generator) -> images, of each training batch; None: images as they are.
        gradient_clip: largest norm of the gradient; None: no clipping.
        accumulation: micro-batches that each batch is split into. Their gradients add up before the weights move, so
            memory is that of `batch_size / accumulation` images, and only norm statistics and dropout differ. Each
            counts by its terms (see `ofa.task.Task`), such as its tokens.
        ema: decay per step of an exponential moving average of the weights, such as 0.999: validation measures
            the average, and the model holds it when the training returns. At first the decay is less, (1 + step) /
            (10 + step), so that short trainings are not dominated by their start. None: no average. Source: Polyak
            and Juditsky 1992, Acceleration of stochastic approximation by averaging.
        precision: "float32", "bfloat16" or "float16"; "int8" or "int4" is float32 with weights (of int8
            activations, too) rounded as in a runtime, see `ofa.quantization`; validation scores the float32 network.
        compile: whether networks of every step run through `torch.compile`: the network itself, or a supernet's largest
            and smallest subnet. Compiling takes seconds to minutes, and pays for some networks only; the bits
            differ from those of a training without it, and what cannot be compiled runs as it is, with a warning.
        channels_last: whether images and the weights of convolutions lie in memory with channels last, with which
            convolutions in 16 bits are faster on GPUs; the model keeps that layout. Sums are taken in another order.
        checkpoint_gradients: whether activations inside blocks are computed anew in the backward pass, in less memory
            and more time (see `ofa.train.recomputing`); the bits are the same.
        synchronize_norms: whether batch norms take their statistics from the examples of all processes that train
            together; otherwise each from its own. Alone it changes nothing.
        archs_per_rank: whether processes that train together draw the "same" Archs in a step, or "different" ones.
        device: where it is trained.
        start_step: the step of batches and schedule to begin at, with a new optimizer, for a rewound network.
        stop_step: the step of the whole training to end after; None: the last.
        layer_decay: factor on the learning rate for each level of layers below the last (see `ofa.train.layer_rates`),
            such as 0.8; None: the same rate everywhere.
        patience: the training ends after so many validations without a better score, with the weights of the best one
            (see `ofa.train.early_stop`); None: it goes on to the end, and has its last weights.
        validate_every: epochs between validations (0: never); a third of the training and its end are measured too.
        calibration_images: training images that norm statistics of a supernet's subnets are measured on for validation.
        scoring: batches of training images, always the same, that the criteria of a pruner measure on.
        checkpoint_seconds, checkpoint_steps: how often a checkpoint is written; None: not by time, not by steps. By
            time they are further apart where they would take more than a twentieth of the time.
        int8_layers: the layers that a precision of fewer bits is of; None: all.

    Raises:
        InvalidInput: a setting out of range.
    """

    optimizer: OptimizerBuilder
    epochs: int
    batch_size: int
    batches_per_step: int = 1
    minutes: float | None = None
    schedule: Schedule = cosine
    seed: int = 0
    augment: Augment | None = None
    gradient_clip: float | None = None
    accumulation: int = 1
    ema: float | None = None
    precision: str = "float32"
    compile: bool = False
    channels_last: bool = False
    checkpoint_gradients: bool = False
    synchronize_norms: bool = False
    archs_per_rank: str = "same"
    device: torch.device | str = "cpu"
    start_step: int = 0
    stop_step: int | None = None
    layer_decay: float | None = None
    patience: int | None = None
    validate_every: int = 5
    calibration_images: int = 1024
    scoring: int = 10
    checkpoint_seconds: float | None = 30.0
    checkpoint_steps: int | None = None
    int8_layers: Int8Layers | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "batches_per_step", "accumulation", "calibration_images", "scoring"):
            _at_least(1, name, getattr(self, name))
        for name in ("epochs", "seed", "validate_every", "start_step"):
            _at_least(0, name, getattr(self, name))
        if self.stop_step is not None:
            _at_least(0, "stop_step", self.stop_step, "null for the last")
        if self.accumulation > self.batch_size:
            raise InvalidInput(
                f"accumulation={self.accumulation!r} splits a batch of batch_size={self.batch_size!r} examples: "
                f"it must be at most {self.batch_size}"
            )
        if self.gradient_clip is not None and not (self.gradient_clip > 0 and math.isfinite(self.gradient_clip)):
            raise InvalidInput(f"gradient_clip={self.gradient_clip!r} must be more than 0, or null for no clipping")
        if self.ema is not None and not 0 < self.ema < 1:
            raise InvalidInput(f"ema={self.ema!r} is a decay: more than 0 and less than 1, or null for no average")
        if self.minutes is not None and not (self.minutes > 0 and math.isfinite(self.minutes)):
            raise InvalidInput(f"minutes={self.minutes!r} must be more than 0, or null for any time")
        if self.layer_decay is not None and not 0 < self.layer_decay <= 1:
            raise InvalidInput(f"layer_decay={self.layer_decay!r} must be more than 0 and at most 1, or null for none")
        if self.patience is not None:
            _at_least(1, "patience", self.patience, "null for never")
            if not self.validate_every:
                raise InvalidInput(
                    f"patience={self.patience} counts validations and validate_every=0 means none: give it 1 or more"
                )
        if self.precision not in PRECISIONS:
            raise InvalidInput(f"precision {self.precision!r} is unknown; {nearest(str(self.precision), PRECISIONS)}")
        if self.precision in FEWER_BITS and (self.compile or self.checkpoint_gradients):
            other = "compile" if self.compile else "checkpoint_gradients"
            raise InvalidInput(
                f"precision={self.precision!r} rounds what layers are called with, which {other}=True goes past: give "
                "one of them"
            )
        if self.archs_per_rank not in ARCHS_PER_RANK:
            choices = nearest(str(self.archs_per_rank), ARCHS_PER_RANK)
            raise InvalidInput(f"archs_per_rank={self.archs_per_rank!r} is unknown; {choices}")
        if self.synchronize_norms and self.archs_per_rank == "different":
            raise InvalidInput(
                "synchronize_norms=True takes statistics of one network from all processes, and archs_per_rank="
                "'different' gives each another network: give one of them"
            )
        if self.checkpoint_gradients and (self.compile or self.synchronize_norms):
            other = "compile" if self.compile else "synchronize_norms"
            raise InvalidInput(
                f"checkpoint_gradients=True runs blocks a second time, and {other}=True cannot: give one of them"
            )
        if self.synchronize_norms and self.compile:
            raise InvalidInput(
                "synchronize_norms=True exchanges statistics inside a network, which compile=True compiles as a whole: "
                "give one of them"
            )
        if self.checkpoint_seconds is not None and not self.checkpoint_seconds >= 0:
            raise InvalidInput(f"checkpoint_seconds={self.checkpoint_seconds!r} must be 0 or more, or null for never")
        if self.checkpoint_steps is not None:
            _at_least(1, "checkpoint_steps", self.checkpoint_steps, "null for never")

    def deciding(self) -> Mapping[str, Any]:
        """Returns the settings that decide the trained weights, by name."""
        measured = () if self.patience is None else ("validate_every", "calibration_images")  # scores decide then
        return {name: value for name, value in vars(self).items() if name not in HOW_TO_RUN or name in measured}


def check_device(device: torch.device | str, name: str = "device") -> None:
    """Checks that tensors can be on a device of this machine.

    Args:
        name: of the setting, for the message.

    Raises:
        InvalidInput: they cannot.
    """
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:  # of a torch without CUDA, or without such a device
        reason = next(iter(str(error).splitlines()), type(error).__name__).partition(" device type at start")[0]
        there = "cpu or cuda" if torch.cuda.is_available() else "cpu"
        raise InvalidInput(f"{name}={device!s} cannot be used here ({reason:.200}); give {there}") from None


def _at_least(least: int, name: str, value: int, otherwise: str = "") -> None:
    if value < least:
        rule = "at least 1" if least else "0 or more"
        raise InvalidInput(f"{name}={value!r} must be {rule}{f', or {otherwise}' if otherwise else ''}")
