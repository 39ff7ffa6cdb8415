"""Entry: how a model of the collection and an example of its inputs are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Example:
    """What a model is called with: positional arguments and keywords, batched along the first dimension."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A model's name, its family ("convolution" or "transformer" have a bar to reach), and who makes it."""

    name: str
    family: str
    make: Callable[[], tuple[nn.Module, Example]]


def images(size: int = 32, channels: int = 3, batch: int = 2) -> Example:
    """Returns one batch of images (N, C, H, W)."""
    return Example((torch.randn(batch, channels, size, size),))


def tokens(length: int = 12, vocabulary: int = 64, batch: int = 2) -> Tensor:
    """Returns token ids (N, length)."""
    return torch.randint(0, vocabulary, (batch, length))


def on_images(name: str, family: str, build: Callable[[], nn.Module], size: int = 32) -> Entry:
    """Returns the entry of a model that takes RGB images."""
    return Entry(name, family, lambda: (build(), images(size)))
