"""Augmentations of images alone and of images with their targets, and which of them fits a data set."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ofa.errors import InvalidInput
from ofa.task.batch import leaves

# Images (N, C, H, W) in [0, 1] and a CPU generator -> images of the same shape.
Augment: TypeAlias = Callable[[Tensor, torch.Generator], Tensor]
# Images, their targets and a CPU generator -> both, changed alike.
JointAugment: TypeAlias = Callable[[Tensor, Any, torch.Generator], tuple[Tensor, Any]]
AnyAugment: TypeAlias = Augment | JointAugment

# Of this package: what moves pixels to other places, and what to use in its place where targets have places.
MOVING = {
    "ofa.data.augment.random_shift": "ofa.data.joint_augment.shift",
    "ofa.data.augment.random_resized_crop": "ofa.data.joint_augment.scale",
    "ofa.data.augment.horizontal_flip": "ofa.data.joint_augment.flip",
    "ofa.data.rand_augment.rand_augment": "ofa.data.joint_augment.flip, shift and scale",
}


def is_joint(augment: AnyAugment) -> bool:
    """Whether an augmentation takes the targets too: its second open parameter is named `targets`."""
    try:
        parameters = list(inspect.signature(augment).parameters)
    except (TypeError, ValueError):  # implemented in C, without a signature
        return False
    return parameters[1:2] == ["targets"]


def apply(augment: AnyAugment, images: Any, targets: Any, generator: torch.Generator) -> tuple[Any, Any]:
    """Returns augmented images and their targets."""
    if is_joint(augment):
        both: tuple[Any, Any] = augment(images, targets, generator)  # type: ignore[call-arg, assignment]
        return both
    return augment(images, generator), targets  # type: ignore[call-arg]


def check_augment(augment: AnyAugment, images: Any, targets: Any) -> None:
    """Checks that an augmentation fits the first examples of a split.

    Raises:
        InvalidInput: they are no numbers, or it moves images away from targets that have places, masks or boxes.
    """
    if not (isinstance(images, Tensor) and images.is_floating_point()):
        what = "token ids" if isinstance(images, Tensor) else "several inputs"
        raise InvalidInput(f"an augmentation is for images, and these are {what}: give augment=null")
    if not have_places(images, targets):
        return
    for name in _names(augment):
        if name in MOVING:
            raise InvalidInput(
                f"{name.rpartition('.')[2]} moves an image and not its masks or boxes; "
                f"use {MOVING[name]}, which move both"
            )


def have_places(images: Tensor, targets: Any) -> bool:
    """Whether targets are at places of the images: boxes, or masks of their height and width."""
    if isinstance(targets, Mapping):
        return "boxes" in targets or any(have_places(images, part) for part in targets.values())
    if isinstance(targets, list):
        return any(isinstance(entry, Mapping) and "boxes" in entry for entry in targets)
    return images.dim() == 4 and any(t.dim() >= 3 and t.shape[-2:] == images.shape[-2:] for t in leaves(targets))


def _names(augment: Any) -> Iterator[str]:
    """The dotted names of a function, and of those among its bound arguments."""
    if isinstance(augment, partial):
        yield from _names(augment.func)
        for value in (*augment.args, *augment.keywords.values()):
            for part in value if isinstance(value, list | tuple) else [value]:
                if callable(part):
                    yield from _names(part)
    else:
        yield f"{getattr(augment, '__module__', '')}.{getattr(augment, '__qualname__', '')}"
