"""Checks of the sizes that a model is built with."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ofa.errors import InvalidInput, is_number, is_whole

Shape = tuple[int, int, int]


def check_shape(model: str, input_shape: Sequence[int], *, least: int = 1) -> Shape:
    """Returns input_shape as (C, H, W).

    Raises:
        InvalidInput: not three whole numbers, or a height or width below `least` pixels.
    """
    shape = tuple(int(size) for size in input_shape)
    if len(shape) != 3 or min(shape) < 1 or shape != tuple(input_shape):
        raise InvalidInput(f"{model} input_shape={tuple(input_shape)}: give (channels, height, width), each at least 1")
    if min(shape[1:]) < least:
        raise InvalidInput(f"{model} input_shape={shape}: height and width must be at least {least} pixels")
    return shape[0], shape[1], shape[2]


def check_positive(model: str, **sizes: int | Sequence[int]) -> None:
    """Checks that every size, or every member of a sequence of sizes, is a whole number above 0.

    Raises:
        InvalidInput: naming the first that is not.
    """
    for name, value in sizes.items():
        for size in (value,) if isinstance(value, int) else value:
            if not is_whole(size, 1):
                raise InvalidInput(f"{model} {name}={value!r}: must be whole numbers, at least 1")


def check_between(model: str, low: float, high: float, **numbers: float) -> None:
    """Checks that every number is at least `low` and below `high`.

    Raises:
        InvalidInput: naming the first that is not.
    """
    for name, value in numbers.items():
        if not is_number(value) or not low <= value < high:
            raise InvalidInput(f"{model} {name}={value!r}: must be at least {low} and below {high}")


def initialize_(model: nn.Module) -> None:
    """Sets weights in place: Kaiming normal for convolutions, Kaiming uniform for linear layers, zero biases.

    Norm layers start as identities (1 and 0). Source: He et al. 2015, 1502.01852.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.kaiming_uniform_(module.weight, nonlinearity="linear")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        bias = getattr(module, "bias", None)
        if isinstance(module, (nn.Conv2d, nn.Linear)) and bias is not None:
            nn.init.zeros_(bias)
