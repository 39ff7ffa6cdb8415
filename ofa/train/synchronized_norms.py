"""Batch norms whose statistics are those of the examples of all processes, on any device.

`torch.nn.SyncBatchNorm` does the same on GPUs alone, and replaces layers; here whatever calls `batch_norm` within a
block is synchronized: views, networks, and functions of a model's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from ofa.processes import Processes


@contextmanager
def synchronized_norms(group: Processes) -> Iterator[None]:
    """Synchronizes the batch norms that are called in training mode within the block; all processes must call the same.

    Source: Peng et al. 2018 (MegDet), 1711.07240, section 3.3; statistics are combined after Chan et al. 1979.
    """
    if group.alone:
        yield
        return
    with _Synchronizing(group):
        yield


class _Synchronizing(TorchFunctionMode):
    def __init__(self, group: Processes) -> None:
        super().__init__()
        self._group = group

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is functional.batch_norm:
            return self._batch_norm(func, *args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _batch_norm(
        self,
        func: Callable[..., Tensor],
        values: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        *options: Any,
        **named: Any,
    ) -> Tensor:
        given = dict(zip(("training", "momentum", "eps"), options, strict=False)) | named
        if not given.get("training", False):
            return func(values, running_mean, running_var, weight, bias, **given)
        normalized, mean, variance, count = _normalize(values, given.get("eps", 1e-5), self._group)
        if running_mean is not None and running_var is not None:
            with torch.no_grad():
                momentum = float(given.get("momentum", 0.1))
                running_mean.lerp_(mean.to(running_mean), momentum)
                running_var.lerp_((variance * (count / (count - 1))).to(running_var), momentum)
        shape = [1, -1, *[1] * (values.dim() - 2)]
        scaled = normalized if weight is None else normalized * weight.view(shape)
        return scaled if bias is None else scaled + bias.view(shape)


def _normalize(values: Tensor, eps: float, group: Processes) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Normalized values, mean, variance and number of values, of all processes by channel."""
    made: Any = _Normalize.apply(values, eps, group)  # type: ignore[no-untyped-call]
    return cast(tuple[Tensor, Tensor, Tensor, Tensor], made)


class _Normalize(torch.autograd.Function):
    """Values minus their mean, over their standard deviation, of all processes by channel."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, eps: float, group: Processes) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        exact = torch.promote_types(values.dtype, torch.float32)  # mixed precision sums in float32, as torch does
        dims = [dim for dim in range(values.dim()) if dim != 1]
        own = values.to(exact)
        variance, mean = torch.var_mean(own, dims, correction=0)
        count = own.new_tensor([own.numel() / own.shape[1]])
        gathered = group.stacked(torch.cat([mean, variance, count]))
        counts, channels = gathered[:, -1:], own.shape[1]
        total = counts.sum()
        means, variances = gathered[:, :channels], gathered[:, channels:-1]
        mean = (counts * means).sum(dim=0) / total
        variance = (counts * (variances + (means - mean).square())).sum(dim=0) / total
        inverse = (variance + eps).rsqrt()
        shape = [1, -1, *[1] * (values.dim() - 2)]
        normalized = (own - mean.view(shape)) * inverse.view(shape)
        ctx.save_for_backward(normalized, inverse, total)
        ctx.group, ctx.dims, ctx.view, ctx.kind = group, dims, shape, values.dtype
        ctx.mark_non_differentiable(mean, variance, total)
        return normalized.to(values.dtype), mean, variance, total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        normalized, inverse, total = ctx.saved_tensors
        gradient = gradients[0].to(normalized.dtype)
        sums = torch.cat([gradient.sum(ctx.dims), (gradient * normalized).sum(ctx.dims)])
        mean, along = (part.view(ctx.view) for part in (ctx.group.sum_(sums) / total).chunk(2))
        moved = (gradient - mean - normalized * along) * inverse.view(ctx.view)
        return moved.to(ctx.kind), None, None
