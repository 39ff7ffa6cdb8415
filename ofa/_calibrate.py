"""Norm statistics of one network, measured on images."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, cast, runtime_checkable

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.inputs import Example, Inputs, as_inputs
from ofa.norms import BatchNorm
from ofa.spectral_norms import iterate_

Net = TypeVar("Net", bound=nn.Module)


@runtime_checkable
class Rows(Protocol):
    """Inputs that are taken some at a time: `Inputs`, and what reads them when asked for."""

    @property
    def batch(self) -> int:
        """How many examples."""

    def rows(self, start: int, stop: int) -> Inputs:
        """Returns those from `start` to before `stop`."""


def calibrate(net: Net, images: Example | Rows, batch_size: int = 512) -> Net:
    """Returns `net`, in eval mode, its batch norm statistics measured on `images`: (N, C, H, W), or any inputs of it.

    Of `Rows`, such as `ofa.data.selection.Selection`, no more than a batch is in memory.

    Each layer gets the mean and the unbiased variance over all that it saw: with one batch exactly those of
    the batch, with several the pooled ones (the variance between batches counts too). Only batch norm layers
    run in train mode, so dropout stays off. A net with no batch norm is only put in eval mode. Spectral norms are
    estimated anew, which takes no images. On failure the statistics are unchanged.

    Raises:
        InvalidInput: no images, too few values per channel for a variance, or statistics that are not finite.
    """
    net.eval()
    iterate_(net)
    layers = [(name, module) for name, module in net.named_modules() if _has_statistics(module)]
    if not layers:
        return net
    count = len(images) if isinstance(images, Tensor) else _rows(images).batch
    if count == 0 or batch_size < 1:
        raise InvalidInput(f"calibration on {count} images in batches of {batch_size}: both must be at least 1")
    inputs = _rows(images)
    watched = [_Watched(name, layer) for name, layer in layers if isinstance(layer, BatchNorm)]
    device = next((tensor.device for tensor in net.parameters()), torch.device("cpu"))
    try:
        for layer_run in watched:
            layer_run.start()
        with torch.no_grad():
            # Batches of equal size, so the last one is never too small for a variance.
            for rows in torch.arange(count).tensor_split(math.ceil(count / batch_size)):
                inputs.rows(int(rows[0]), int(rows[-1]) + 1).to(device).call(net)
        pooled = [layer_run.pooled() for layer_run in watched]
    except BaseException:
        for layer_run in watched:
            layer_run.stop(layer_run.before)
        raise
    for layer_run, statistics in zip(watched, pooled, strict=True):
        layer_run.stop(statistics)
    return net


def _rows(images: Example | Rows) -> Rows:
    return images if isinstance(images, Rows) else as_inputs(images)


def _has_statistics(module: nn.Module) -> bool:
    return isinstance(module, BatchNorm) and module.running_mean is not None and module.running_var is not None


@dataclass
class _Watched:
    """A batch norm layer being measured, and what restores it."""

    name: str
    layer: BatchNorm
    counts: list[int] = field(default_factory=list)
    means: list[Tensor] = field(default_factory=list)
    variances: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mean: Tensor = cast(Tensor, self.layer.running_mean)
        self.variance: Tensor = cast(Tensor, self.layer.running_var)
        self.replaced = self.layer.__dict__.get("forward")
        self.before = (self.mean.clone(), self.variance.clone())
        self.momentum = self.layer.momentum
        self.tracked = None if self.layer.num_batches_tracked is None else self.layer.num_batches_tracked.clone()

    def start(self) -> None:
        """Makes the layer's own buffers hold the statistics of each batch, and takes them after each call.

        Not by hooks: a view shares its dictionaries of hooks with the supernet.
        """
        self.layer.training = True
        self.layer.momentum = 1.0
        normalize = self.layer.forward

        def measured(values: Tensor) -> Tensor:
            count = values.numel() // values.shape[1]
            if count < 2:
                raise InvalidInput(
                    f"calibration of {self.name!r}: {len(values)} image gives one value per channel, "
                    f"a variance needs two; give more images"
                )
            normalized = normalize(values)
            self.counts.append(count)
            self.means.append(self.mean.clone())
            self.variances.append(self.variance.clone())
            return normalized

        self.layer.__dict__["forward"] = measured

    def pooled(self) -> tuple[Tensor, Tensor]:
        """Mean and unbiased variance over all batches, by the law of total variance, in float64."""
        if not self.counts:
            return self.before  # a layer that the net does not call
        if len(self.counts) == 1:
            mean, variance = self.means[0], self.variances[0]
        else:
            total = sum(self.counts)
            counts = torch.tensor(self.counts, dtype=torch.float64, device=self.means[0].device)[:, None]
            means = torch.stack(self.means).double()
            mean = (counts * means).sum(dim=0) / total
            within = ((counts - 1) * torch.stack(self.variances).double()).sum(dim=0)
            variance = (within + (counts * (means - mean).square()).sum(dim=0)) / (total - 1)
        if not (torch.isfinite(mean).all() and torch.isfinite(variance).all()):
            raise InvalidInput(
                f"calibration of {self.name!r}: its inputs are NaN or infinite; check images and weights"
            )
        return mean, variance

    def stop(self, statistics: tuple[Tensor, Tensor]) -> None:
        """Writes the statistics and restores the rest of the layer."""
        self.layer.__dict__.pop("forward", None)
        if self.replaced is not None:
            self.layer.__dict__["forward"] = self.replaced
        self.layer.training = False
        self.layer.momentum = self.momentum
        self.mean.copy_(statistics[0])
        self.variance.copy_(statistics[1])
        if self.tracked is not None and self.layer.num_batches_tracked is not None:
            self.layer.num_batches_tracked.copy_(self.tracked)
