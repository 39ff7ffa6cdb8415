"""Weights that a layer standardizes by a batch norm of themselves, over the entries that an Arch leaves."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import Tensor


def training_batch_norm(name: str, value: Tensor, args: Any, kernels: Collection[int]) -> bool:
    """Returns whether an op is a batch norm by the statistics of a weight, such as (1, rows, entries of a row).

    Args:
        name: of the op. value: what it normalizes. args: its arguments. kernels: the memory of all weights, by address.
    """
    if name not in ("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_functional"):
        return False
    training = next((argument for argument in args[1:] if isinstance(argument, bool)), False)
    return training and value.untyped_storage().data_ptr() in kernels


def standardized(value: Tensor, args: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the batch norm of a weight over entries that are not zero in every row, and its means and 1 / deviations.

    A random weight holds no zeros: what is zero in every row is what the Arch removes of its inputs.
    """
    weight, bias, eps = args[1], args[2], args[-1]
    rows = value.transpose(0, 1).reshape(value.size(1), -1)
    keep = (rows != 0).any(0)
    kept = rows[:, keep]
    mean, variance = kept.mean(1, keepdim=True), kept.var(1, correction=0, keepdim=True)
    rstd = (variance + eps).rsqrt()
    out = (rows - mean) * rstd * keep
    out = out if weight is None else out * weight[:, None]
    out = out if bias is None else out + bias[:, None] * keep
    shape = (value.size(1), value.size(0), *value.shape[2:])
    return out.reshape(shape).transpose(0, 1), mean.flatten(), rstd.flatten()
