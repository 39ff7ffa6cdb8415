"""What supernets are tried on: data, model and space, each as overrides of `ofa train`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """Data, a model, and how long and at which learning rates its networks are trained.

    Attributes:
        overrides: of `ofa train`, for the supernet and for networks alone.
        epochs: of the supernet and of each network alone.
        rates: learning rates that networks alone are tried with; the best counts.
        group: of `train`, whose optimizer networks alone have too.
        folder: the data set whose folder is a command-line argument; None if it needs none.
    """

    name: str
    overrides: tuple[str, ...]
    epochs: int
    rates: tuple[float, ...] = (0.05, 0.1, 0.2)
    group: str = "sandwich"
    folder: str | None = None

    def all_overrides(self, folders: dict[str, str]) -> tuple[str, ...]:
        """Returns the overrides with the folder of the data, whose size and labels are as the hub has them."""
        if self.folder is None:
            return self.overrides
        return (*self.overrides, f"data.dataset.path={folders[self.folder]}")


def _cifar(images: int, *model: str) -> tuple[str, ...]:
    limits = (f"data.dataset.limit_train={images}", "data.dataset.limit_validation=500", "data.dataset.limit_test=5000")
    return ("data=cifar10", "data.dataset.image_size=16", *limits, *model)


PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem(
            "cifar-small",
            (*_cifar(8000, "model=resnet20", "model.depth=14"), "data.dataset.image_size=12", "data/augment=flip"),
            8,
            folder="cifar10",
        ),
        Problem("cifar-resnet", _cifar(8000, "model=resnet20"), 12, folder="cifar10"),
        Problem("cifar-mobilenet", _cifar(8000, "model=mobilenet"), 12, folder="cifar10"),
        Problem("cifar-resnet-40000", _cifar(40000, "model=resnet20"), 12, folder="cifar10"),
        Problem(
            "mnist-resnet",
            ("data=mnist", "data.dataset.image_size=14", "data.dataset.limit_train=4000", "model=digits_net"),
            8,
            folder="mnist",
        ),
        Problem("digits", ("data=digits", "model=digits_net"), 60),
        Problem("cluttered", ("data=cluttered_digits", "model=digits_net"), 20),
        Problem("digits-vit", ("data=digits", "model=vit"), 60, rates=(0.001, 0.003), group="sandwich_adamw"),
        Problem(
            "characters-gpt",
            (
                *("data=characters", "task=language_model", "model=gpt", "model.every_token=true", "model.width=48"),
                *("model.depth=2", "model.heads=3", "data.dataset.limit=200000", "task.metrics=[bits_per_byte]"),
            ),
            8,
            rates=(0.003, 0.006),
            group="sandwich_adamw",
        ),
    )
}


def chosen(names: Sequence[str]) -> list[Problem]:
    """Returns the problems of these names."""
    return [PROBLEMS[name] for name in names]
