"""A Dataset of tensors: images and labels that a program has in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ofa.data.dataset import Dataset, Preprocessing, Split, ordered
from ofa.data.splitting import stratified
from ofa.data.statistics import preprocessing_of
from ofa.errors import InvalidInput

Pair = tuple[Any, Any]  # images and labels


def from_tensors(
    images: Any,
    labels: Any,
    *,
    validation: float | Pair = 0.2,
    test: float | Pair = 0.2,
    seed: int = 0,
    name: str = "tensors",
    class_names: Sequence[str] = (),
) -> Dataset:
    """Returns the Dataset of images (N, C, H, W) and labels (N,), tensors or arrays of NumPy.

    Args:
        images: floating point, which networks see as it is; or uint8, which is divided by 255 and normalized by the
            mean and the standard deviation of the training images, per channel.
        labels: whole numbers from 0.
        validation, test: the fraction of the images that each takes, every class alike, as a function of `seed`; or a
            pair (images, labels) of its own. What is left is trained on.
        name: of the data set, in cards and reports.
        class_names: one for each class, in order; numbers where none are given.

    Raises:
        InvalidInput: another shape or type, counts that differ, or fractions that leave nothing to train on.
    """
    held_out = {"validation": validation, "test": test}
    given = {part: _checked(*_pair(part, value)) for part, value in held_out.items() if not isinstance(value, float)}
    given["train"] = _checked(images, labels)
    cut = {part: value for part, value in held_out.items() if isinstance(value, float)}
    if cut:
        pixels, targets = given["train"]
        rows = stratified(targets, cut, seed=seed)
        given |= {part: (pixels[index], targets[index]) for part, index in rows.items()}
    pixels, _ = given["train"]
    preprocessing = _preprocessing(pixels)
    for part, (held, _) in given.items():
        if held.dtype != pixels.dtype:
            raise InvalidInput(f"{part} images are {held.dtype}, training images {pixels.dtype}: give one type")
    classes = len(class_names) or 1 + max(int(targets.max()) for _, targets in given.values() if len(targets))
    splits = {
        part: Split(held, targets, preprocessing, origin=_origin(cut.get(part)))
        for part, (held, targets) in given.items()
    }
    return Dataset(name, *ordered(splits), num_classes=classes, class_names=tuple(class_names))


def _pair(part: str, value: Any) -> Pair:
    if isinstance(value, tuple) and len(value) == 2:
        return value
    raise InvalidInput(f"{part}={value!r:.60} must be a fraction, such as 0.2, or a pair (images, labels)")


def _checked(images: Any, labels: Any) -> tuple[Tensor, Tensor]:
    """Images and labels as tensors."""
    try:
        pixels, targets = torch.as_tensor(images), torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError):
        kinds = f"{type(images).__name__} and {type(labels).__name__}"
        raise InvalidInput(f"images and labels are {kinds}; give tensors or arrays of NumPy") from None
    if pixels.dim() != 4 or not (pixels.is_floating_point() or pixels.dtype == torch.uint8):
        raise InvalidInput(
            f"images of shape {tuple(pixels.shape)} and {pixels.dtype}: give (N, C, H, W), floating point or uint8"
        )
    if targets.shape != pixels.shape[:1] or targets.is_floating_point() or targets.is_complex():
        raise InvalidInput(
            f"labels of shape {tuple(targets.shape)} and {targets.dtype} for {len(pixels)} images: give one whole "
            f"number for each image, shape ({len(pixels)},)"
        )
    return pixels, targets.long()


def _preprocessing(pixels: Tensor) -> Preprocessing:
    if pixels.dtype == torch.uint8:
        return preprocessing_of(pixels, scale=255.0, stored="8 bits, 0 to 255")
    channels = pixels.shape[1]
    return Preprocessing(1.0, (0.0,) * channels, (1.0,) * channels, stored="floating point, as the network takes it")


def _origin(fraction: float | None) -> str:
    return "tensors" if fraction is None else f"{100 * fraction:g} % of tensors"
