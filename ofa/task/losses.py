"""Losses: against labels, and against the logits of a larger network (distillation)."""

from __future__ import annotations

import math

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
            f"the model returned shape {tuple(logits.shape)} for {labels.shape[0]} labels: "
            "it must return logits (labels, classes), and a batch a label for each example"
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


def alpha_divergence(
    logits: Tensor, teacher: Tensor, least: float = -1.0, most: float = 1.0, clip: float = 5.0
) -> Tensor:
    """Returns the adaptive alpha-divergence of `logits` (N, classes) from `teacher` (N, classes), a mean over N.

    Each example is held to the larger of two divergences: with the negative `least` a network pays for probability
    that the teacher does not give, with the positive `most` for probability that it misses (1: the KL divergence, which
    `soft_cross_entropy` is). `clip` bounds the ratios of probabilities, to the power of alpha. The value is that whose
    gradient is the divergence's, as in the authors' code. Classes are the last dimension.
    Source: Wang et al. 2021 (AlphaNet), 2102.07954, equations 5 to 9.

    Raises:
        InvalidInput: `least` is not below `most`, or `clip` is not above 0.
    """
    if not (least < most and clip > 0):
        raise InvalidInput(f"least={least!r} must be below most={most!r}, and clip={clip!r} above 0: such as -1, 1, 5")
    student = torch.log_softmax(full_precision(logits), dim=-1)
    ratio = torch.log_softmax(full_precision(teacher.detach()), dim=-1) - student.detach()
    low, low_value = _divergence(student, ratio, least, clip)
    high, high_value = _divergence(student, ratio, most, clip)
    return torch.where(low > high, low_value, high_value).mean()


def _divergence(student: Tensor, ratio: Tensor, alpha: float, clip: float) -> tuple[Tensor, Tensor]:
    """The alpha-divergence of each example, detached, and what has its gradient; of log probabilities and ratios."""
    log_probability = student.detach()
    probability = log_probability.exp()
    if abs(alpha) < 1e-3:  # the limit: the KL divergence the other way round
        bounded = ratio.clamp(max=math.log(clip))
        value, slope = -probability * bounded, probability * (bounded - 1)
    elif abs(alpha - 1) < 1e-3:
        slope = (log_probability + ratio).exp()  # the teacher's probability: the ratio alone may overflow
        value = slope * ratio
    else:
        power = (alpha * ratio).exp().clamp(max=clip)
        value, slope = probability * (power - 1) / (alpha * (alpha - 1)), probability * power / alpha
    return value.sum(dim=-1), -(slope * student).sum(dim=-1)


def full_precision(logits: Tensor) -> Tensor:
    """Returns the same numbers in at least float32: losses of half precision would lose too much."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
