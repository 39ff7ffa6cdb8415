"""The check of what a training begins with: a batch, and what the network makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from ofa.errors import InvalidInput
from ofa.modes import in_mode
from ofa.task import Task, as_batch


def check_first_batch(task: Task, net: nn.Module, batches: Iterator[Any], device: torch.device) -> None:
    """Checks that the outputs of a network and the targets of the first batch fit the task.

    Modes, norm statistics and the global random state are left as they were.

    Raises:
        InvalidInput: no batch, or what `task.check` refuses.
    """
    value = next(batches, None)
    if value is None:
        raise InvalidInput("the training data give no batch; a training needs at least one")
    batch = as_batch(value).to(device)
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), in_mode(net, training=False), torch.no_grad():
        outputs = task.call(net, batch)
        task.check(outputs, batch)
