"""Resolution as a choice: which heights images may have, and the inputs that a subnet of an Arch is given.

A subnet is the plain network and resizes nothing. Training, calibration, evaluation, costs, measuring and export give
it images of its Arch's resolution, all by `resized`.

Source: Cai et al. 2020 (1908.09791), elastic resolution. There one size is drawn for a batch; here each network of a
step gets the same images at its own, as in Yu et al. 2020 (BigNAS, 2003.11142).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from torch import Tensor

from ofa.arch import Arch
from ofa.data.dataset import Dataset
from ofa.data.resizing import resized_images
from ofa.data.selection import Selection
from ofa.errors import InvalidInput
from ofa.inputs import Inputs, as_inputs

NAME = "input"
KEY = f"resolution.{NAME}"  # of the choice in a space

T = TypeVar("T")


def resized(inputs: T, arch: Arch) -> T:
    """Returns the inputs of a subnet, made from those of the largest: at the Arch's resolution.

    Where the space has no choice of resolution, or the inputs are of the Arch's already, they are returned as they are.

    Args:
        inputs: images (N, C, H, W), floating-point, at the resolution of the largest subnet or any other; `Inputs` of
            such a tensor alone; or a Dataset of images or a `Selection` of one, which then gives resized images.
        arch: of the subnet; `arch.resolution` is {"input": height in pixels}, the width is in proportion.

    Raises:
        InvalidInput: the Arch has a resolution and the inputs are no images.
    """
    height = arch.resolution.get(NAME)
    if height is None:
        return inputs
    if isinstance(inputs, Dataset):
        splits = {part: getattr(inputs, part).with_height(height) for part in ("train", "validation", "test")}
        return cast(T, replace(inputs, **splits))
    if isinstance(inputs, Selection):
        return cast(T, inputs.with_height(height))
    images = images_of(as_inputs(cast(Any, inputs)))
    if images is None:
        raise InvalidInput(f"a resolution of {height} pixels is of images (N, C, H, W), not of {_what(inputs)}")
    images = resized_images(images, height)
    return cast(T, images if isinstance(inputs, Tensor) else Inputs(images))


def images_of(inputs: Inputs) -> Tensor | None:
    """Returns the images (N, C, H, W) that are all of some inputs; None of any other inputs."""
    images = inputs.only
    return images if images is not None and images.dim() == 4 and images.is_floating_point() else None


def resolution_values(inputs: Inputs, wanted: Sequence[int]) -> tuple[int, ...]:
    """Returns the heights that the images of a supernet can have, ascending, that of its example last; none wanted: ().

    Raises:
        InvalidInput: the inputs are no images, or smaller ones than are wanted.
    """
    if not wanted:
        return ()
    images = images_of(inputs)
    if images is None:
        raise InvalidInput(
            f"resolutions={list(wanted)} are heights of images, one floating-point tensor (N, C, H, W) by position, "
            f"and the example has {_what(inputs)}: leave resolutions out"
        )
    full = int(images.shape[2])
    if max(wanted) > full:
        raise InvalidInput(
            f"resolutions={list(wanted)} exceed the example's height of {full} pixels: give an example of the largest "
            f"resolution, or resolutions up to {full}"
        )
    return tuple(sorted({*wanted, full}))


def _what(inputs: object) -> str:
    return as_inputs(cast(Any, inputs)).shapes
