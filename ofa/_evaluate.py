"""Accuracy of a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.inputs import Example, Inputs, as_inputs, logits_of
from ofa.modes import in_mode
from ofa.task.forms import check_range


def evaluate(
    net: nn.Module,
    images: Example | Iterable[tuple[Example, Tensor]],
    labels: Tensor | None = None,
    batch_size: int = 512,
) -> float:
    """Returns the fraction of images that `net` (in eval mode) puts in the right class, in [0, 1].

    `images` is a tensor (N, C, H, W), or any inputs of the net (see `ofa.Inputs`), with `labels` (N,); or an iterable
    of such (images, labels) batches. The logits are the net's output, or what it names `logits`.
    The net's train or eval mode is left as it was.

    Raises:
        InvalidInput: no images, a different number of labels or labels that are no classes, or logits that are not a
            number.
    """
    device = next((tensor.device for tensor in net.parameters()), torch.device("cpu"))
    right = torch.zeros((), dtype=torch.int64, device=device)
    seen = 0
    with in_mode(net, training=False), torch.no_grad():
        for number, (batch, targets) in enumerate(_batches(images, labels, batch_size), start=1):
            if not len(targets):
                raise InvalidInput(f"batch {number} has 0 images: leave empty ones out")
            logits = logits_of(as_inputs(batch).to(device).call(net), net)
            if logits.dim() != 2 or logits.shape[0] != len(targets):
                raise InvalidInput(f"{type(net).__name__} returns shape {tuple(logits.shape)}, not (images, classes)")
            # argmax would return the position of a NaN as if it were a class.
            if not torch.isfinite(logits).all():
                raise InvalidInput(f"{type(net).__name__} returns {_describe_bad(logits)} instead of logits")
            check_range(targets, logits.shape[1], "labels")
            right += (logits.argmax(dim=1) == targets.to(device)).sum()
            seen += len(targets)
    if not seen:
        raise InvalidInput("accuracy of 0 images: give at least one")
    return int(right) / seen


def _batches(
    images: Example | Iterable[tuple[Example, Tensor]], labels: Tensor | None, batch_size: int
) -> Iterator[tuple[Example, Tensor]]:
    if labels is None and not isinstance(images, (Tensor, Inputs, Mapping)):
        yield from images
        return
    if isinstance(images, Tensor) and not len(images):
        return
    inputs = as_inputs(cast(Example, images))
    if labels is None or len(labels) != inputs.batch:
        count = "no" if labels is None else len(labels)
        raise InvalidInput(f"{inputs.batch} images with {count} labels: give one label per image")
    if batch_size < 1:
        raise InvalidInput(f"batch_size={batch_size!r} must be at least 1")
    for start in range(0, inputs.batch, batch_size):
        yield inputs.rows(start, start + batch_size), labels[start : start + batch_size]


def _describe_bad(logits: Tensor) -> str:
    return "NaN" if torch.isnan(logits).any() else "infinity"
