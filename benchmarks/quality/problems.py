"""What supernets are tried on: data, model and space, each as overrides of `ofa train`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """Data, a model, and how long and at which learning rates its networks are trained.

    Attributes:
        title: for tables.
        overrides: of `ofa train`, for the supernet and for networks alone.
        epochs: of the supernet and of each network alone.
        rates: learning rates that networks alone are tried with; the best counts.
        group: of `train`, whose optimizer networks alone have too.
        folder: the data set whose folder is a command-line argument; None if it needs none.
        scale: turns the score into points of which more is better.
    """

    name: str
    title: str
    overrides: tuple[str, ...]
    epochs: int
    rates: tuple[float, ...] = (0.05, 0.1, 0.2)
    group: str = "sandwich"
    folder: str | None = None
    scale: float = 100.0

    def all_overrides(self, folders: Mapping[str, str]) -> tuple[str, ...]:
        """Returns the overrides with the folder of the data."""
        if self.folder is None:
            return self.overrides
        return (*self.overrides, f"data.dataset.path={folders[self.folder]}")


def _cifar(images: int, size: int, *others: str) -> tuple[str, ...]:
    limits = (f"train={images}", "validation=500", "test=5000")
    return (
        "data=cifar10",
        f"data.dataset.image_size={size}",
        *(f"data.dataset.limit_{each}" for each in limits),
        *others,
    )


_GPT = ("model=gpt", "model.every_token=true", "model.width=48", "model.depth=2", "model.heads=3")
_CHARACTERS = ("data=characters", "task=language_model", "data.dataset.limit=200000", "task.metrics=[bits_per_byte]")
_MNIST = ("data=mnist", "data.dataset.image_size=14", "data.dataset.limit_train=4000")
_FLIP = "data/augment=flip"  # without moves by up to 4 of 16 pixels, see docs/supernet_quality.md
_SMALL = ("model=resnet20", "model.depth=14", _FLIP)

PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem("digits", "ResNet-14, digits", ("data=digits", "model=digits_net"), 60),
        Problem("lenet5", "LeNet-5, digits", ("data=digits", "model=lenet5"), 30),
        Problem(
            "lenet5-plain",
            "LeNet-5 without norms, digits",
            ("data=digits", "model=lenet5", "model.batch_norm=false"),
            30,
        ),
        Problem("demo", "the network and data of `ofa run`", ("data=cluttered_digits",), 12),
        Problem(
            "cluttered",
            "ResNet-14, cluttered digits",
            (
                *("data=cluttered_digits", "model=digits_net", "model.widths=[16,24,32]"),
                *("data.dataset.copies=4", "data.dataset.pieces=6", "data.augment=null"),
            ),
            12,
        ),
        Problem("mnist", "ResNet-14, MNIST at 14x14, 4,000 images", (*_MNIST, "model=digits_net"), 8, folder="mnist"),
        Problem(
            "cifar-small", "ResNet-14, CIFAR-10 at 12x12, 8,000 images", _cifar(8000, 12, *_SMALL), 8, folder="cifar10"
        ),
        Problem(
            "cifar",
            "ResNet-20, CIFAR-10 at 16x16, 8,000 images",
            _cifar(8000, 16, "model=resnet20", _FLIP),
            12,
            folder="cifar10",
        ),
        Problem("cifar-long", "the same, 48 epochs", _cifar(8000, 16, "model=resnet20", _FLIP), 48, folder="cifar10"),
        Problem(
            "cifar-40000",
            "ResNet-20, CIFAR-10 at 16x16, 40,000 images",
            _cifar(40000, 16, "model=resnet20", _FLIP),
            12,
            folder="cifar10",
        ),
        Problem(
            "mobilenet",
            "MobileNetV3-style, CIFAR-10 at 16x16, 8,000 images",
            _cifar(8000, 16, "model=mobilenet", _FLIP, "train.channels_last=true"),  # a third less time
            6,
            folder="cifar10",
        ),
        Problem("vit", "ViT, digits", ("data=digits", "model=vit"), 60, (0.001, 0.003), "sandwich_adamw"),
        Problem(
            "gpt",
            "GPT, characters (bits per byte, negative)",
            (*_CHARACTERS, *_GPT),
            8,
            (0.003, 0.006),
            "sandwich_adamw",
            scale=-1.0,
        ),
    )
}


def chosen(names: Sequence[str]) -> list[Problem]:
    """Returns the problems of these names."""
    return [PROBLEMS[name] for name in names]
