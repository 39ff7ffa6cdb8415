"""Accuracy of a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.modes import in_mode


def evaluate(
    net: nn.Module,
    images: Tensor | Iterable[tuple[Tensor, Tensor]],
    labels: Tensor | None = None,
    batch_size: int = 512,
) -> float:
    """Returns the fraction of images that `net` (in eval mode) puts in the right class, in [0, 1].

    `images` is a tensor (N, C, H, W) with `labels` (N,), or an iterable of such (images, labels) batches.
    The net's train or eval mode is left as it was.

    Raises:
        InvalidInput: no image, a count of labels that is not that of images, or logits that are not a number.
    """
    device = next((tensor.device for tensor in net.parameters()), torch.device("cpu"))
    right = torch.zeros((), dtype=torch.int64, device=device)
    seen = 0
    with in_mode(net, training=False), torch.no_grad():
        for batch, targets in _batches(images, labels, batch_size):
            logits = net(batch.to(device))
            if logits.dim() != 2 or logits.shape[0] != len(targets):
                raise InvalidInput(f"{type(net).__name__} returns shape {tuple(logits.shape)}, not (images, classes)")
            # A NaN is never the largest of anything one can trust, and argmax would call it a class.
            if not torch.isfinite(logits).all():
                raise InvalidInput(f"{type(net).__name__} returns {_describe_bad(logits)} instead of logits")
            right += (logits.argmax(dim=1) == targets.to(device)).sum()
            seen += len(targets)
    if not seen:
        raise InvalidInput("accuracy of 0 images: give at least one")
    return int(right) / seen


def _batches(
    images: Tensor | Iterable[tuple[Tensor, Tensor]], labels: Tensor | None, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    if not isinstance(images, Tensor):
        yield from images
        return
    if labels is None or len(labels) != len(images):
        given = "no" if labels is None else len(labels)
        raise InvalidInput(f"{len(images)} images with {given} labels: give one label an image")
    if batch_size < 1:
        raise InvalidInput(f"batch_size={batch_size!r} must be at least 1")
    for start in range(0, len(images), batch_size):
        yield images[start : start + batch_size], labels[start : start + batch_size]


def _describe_bad(logits: Tensor) -> str:
    return "NaN" if torch.isnan(logits).any() else "infinity"
