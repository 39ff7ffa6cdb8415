"""What both training loops refuse: settings out of range, and a loss that is not a number."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput


def check_settings(
    epochs: int,
    batch_size: int,
    seed: int,
    label_smoothing: float,
    gradient_clip: float | None,
    validate_every: int,
) -> None:
    """Checks what the loops have in common.

    Raises:
        InvalidInput: a setting out of range.
    """
    if epochs < 1 or batch_size < 1:
        raise InvalidInput(f"{epochs=!r} and {batch_size=!r} must be at least 1")
    if seed < 0 or validate_every < 0:
        raise InvalidInput(f"{seed=!r} and {validate_every=!r} must be 0 or more")
    if not 0 <= label_smoothing < 1:
        raise InvalidInput(f"{label_smoothing=!r} is a fraction: at least 0 and less than 1")
    if gradient_clip is not None and not (gradient_clip > 0 and math.isfinite(gradient_clip)):
        raise InvalidInput(f"{gradient_clip=!r} must be more than 0, or null for no clipping")


def loss_not_finite(net: nn.Module, images: Tensor, step: int, loss: float, total: int, learning_rate: float) -> str:
    """Returns one line on a loss that is not a number: where, and the most likely reason."""
    where = f"the loss is {loss} at step {step} of {total}"
    if not torch.isfinite(images).all():
        return f"{where}: the training images hold NaN or infinity; check the data and its preprocessing"
    with torch.no_grad():
        finite = bool(torch.isfinite(net(images)).all())
    cause = "" if finite else "the model returns NaN or infinity"
    if step == 0:
        return f"{where}: {cause or 'the first loss'}, before any weight has moved; check the model"
    remedy = f"lower the learning rate (now {learning_rate:.3g}) or set gradient_clip"
    return f"{where}: {cause or 'training diverged'}; {remedy}"
