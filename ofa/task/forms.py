"""Checks that tasks share, and the words for what they found."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ofa.errors import InvalidInput

WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def form(value: Any) -> str:
    """Returns what a value is, for a message: "(32, 4) torch.float32", "a list of 32", "missing"."""
    if value is None:
        return "missing (None)"
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {value.dtype}"
    count = f" of {len(value)}" if hasattr(value, "__len__") else ""
    return f"a {type(value).__name__}{count}"


def other_tasks(targets: Any) -> str:
    """Returns which task fits targets of such a form, for the end of a message; "" where none is known."""
    if targets is None:
        return "; a loader gives pairs (inputs, targets), or a dictionary with its targets under 'labels'"
    if not isinstance(targets, Tensor):
        boxes = isinstance(targets, dict | list) and "boxes" in str(targets)[:200]
        return "; for boxes take task=detection" if boxes else ""
    if targets.dim() == 1:
        whole = targets.dtype in WHOLE
        return "; for one class an example take task=classification" if whole else "; for numbers take task=regression"
    if targets.dim() == 2:
        if bool(((targets == 0) | (targets == 1)).all()):
            return "; for several labels an example take task=multilabel"
        tokens = targets.dtype in WHOLE
        return "; for token ids take task=language_model" if tokens else "; for numbers take task=regression"
    return "; for masks take task=segmentation" if targets.dim() == 3 and targets.dtype in WHOLE else ""


def check_outputs(outputs: Tensor, fits: bool, expected: str, task: str, count: int) -> None:
    """Checks the shape of what a network returns.

    Raises:
        InvalidInput: it does not fit; `expected` says what would.
    """
    if not fits or not outputs.is_floating_point():
        raise InvalidInput(
            f"the network returns {form(outputs)} for {count} examples; {task} needs {expected}, floating point numbers"
        )


def check_targets(targets: Any, fits: bool, expected: str, task: str) -> None:
    """Checks the form of targets.

    Raises:
        InvalidInput: they do not fit; `expected` says what would, and another task is named where one would take them.
    """
    if not fits:
        raise InvalidInput(f"the targets are {form(targets)}; {task} needs {expected}{other_tasks(targets)}")


def check_range(targets: Tensor, classes: int, what: str) -> None:
    """Checks that class numbers are among the network's classes.

    Raises:
        InvalidInput: one is not.
    """
    if targets.numel() and (targets.min() < 0 or targets.max() >= classes):
        raise InvalidInput(
            f"the {what} run from {int(targets.min())} to {int(targets.max())}; the network's {classes} classes are "
            f"numbered 0 to {classes - 1}: give the model num_classes={int(targets.max()) + 1}, or number from 0"
        )
