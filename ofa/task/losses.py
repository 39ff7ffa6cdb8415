"""Losses: against labels, and against the logits of a larger network (distillation)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ofa.errors import InvalidInput


def label_loss(logits: Tensor, labels: Tensor, smoothing: float = 0.0, class_weights: Tensor | None = None) -> Tensor:
    """Returns the mean cross entropy of `logits` (N, classes) against `labels` (N,), in at least float32.

    `smoothing` is the fraction of probability spread evenly over all classes (Szegedy et al. 2016,
    1512.00567); `class_weights` (classes,) make it a weighted mean.

    Raises:
        InvalidInput: the logits are not (N, classes).
    """
    if logits.dim() != 2 or logits.shape[0] != labels.shape[0]:
        raise InvalidInput(
            f"the model returned shape {tuple(logits.shape)} for {labels.shape[0]} images: "
            f"it must return logits of shape (images, classes)"
        )
    logits = full_precision(logits)
    weights = None if class_weights is None else class_weights.to(logits)
    return functional.cross_entropy(logits, labels, weights, label_smoothing=smoothing)


def soft_cross_entropy(logits: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Returns the mean cross entropy of `logits` (N, classes) against the softmax of `teacher` (N, classes).

    Its gradient is that of the KL divergence: the two differ by the teacher's entropy. The loss is scaled by
    temperature**2, which keeps gradients comparable (Hinton et al. 2015, 1503.02531).
    """
    targets = torch.softmax(full_precision(teacher.detach()) / temperature, dim=1)
    return functional.cross_entropy(full_precision(logits) / temperature, targets) * temperature**2


def full_precision(logits: Tensor) -> Tensor:
    """Returns the same numbers in at least float32: losses of half precision would lose too much."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
