"""Train and eval modes of modules, changed for a while and put back exactly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def in_mode(net: nn.Module, *, training: bool) -> Iterator[None]:
    """Puts every module of `net` in train or eval mode; afterwards each has the mode it had."""
    other = [module for module in net.modules() if module.training != training]
    net.train(training)
    try:
        yield
    finally:
        for module in other:
            module.training = not training
