"""The group `teacher`: whether the network that it names can teach, and is listened to."""

from __future__ import annotations

from ofa.errors import InvalidInput
from search.config.rules import Target
from search.config.training import SupernetTraining


def is_average(teacher: Target | None) -> bool:
    """Returns whether a `teacher` group is the average of the weights that are trained, which is no other network."""
    return teacher is not None and teacher.get("_target_") == "ofa.train.average_teacher.taught_by_average"


def check_teaching(teacher: Target | None, training: SupernetTraining) -> None:
    """Checks the `teacher` group of a supernet's training.

    Raises:
        InvalidInput: an average where none is kept, or subnets that learn from targets alone.
    """
    if is_average(teacher) and training.ema is None:
        raise InvalidInput("teacher=average learns from averaged weights, and train.ema=null has none: give 0.99")
    if teacher and training.strategy.get("label_weight") == 1:
        raise InvalidInput(
            f"teacher={_name(teacher)} teaches nothing with train.strategy.label_weight=1: give less, such as 0.5, or "
            "teacher=largest"
        )


def check_taught(teacher: Target | None, share: float, key: str) -> None:
    """Checks the `teacher` group of a training after the supernet's or the dense network's.

    Args:
        share: of the loss against its outputs.
        key: of that share.

    Raises:
        InvalidInput: the average of a supernet that is being trained, or a share of 0, with which it teaches nothing.
    """
    if is_average(teacher):
        raise InvalidInput(
            "teacher=average is of the training of a supernet: give teacher=largest, teacher=start or teacher=network"
        )
    if teacher and not share:
        raise InvalidInput(
            f"teacher={_name(teacher)} teaches nothing with {key}=0: give a share of the loss, such as {key}=0.5"
        )


def _name(teacher: Target) -> str:
    return "average" if is_average(teacher) else str(teacher.get("_target_")).rpartition(".")[2]
