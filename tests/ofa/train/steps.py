"""One step of a small supernet's training: its batch, its context, and the gradients that it leaves."""

from __future__ import annotations

import torch
from torch import Tensor

from ofa.task import Batch, Task, classification
from ofa.train import StepContext
from ofa.train.precision import precision_of
from ofa.train.step import step_rng

IMAGES = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(16) % 4
BATCH = Batch(IMAGES, LABELS)
TASK = classification(num_classes=4)


def context(step: int = 0, total_steps: int = 100, *, task: Task = TASK, optimizer=None) -> StepContext:
    numbers = precision_of("float32", torch.device("cpu"))
    return StepContext(step, total_steps, step_rng(0, step), optimizer, task, numbers.autocast, numbers.backward)


def with_gradients(supernet):
    """The supernet without dropout, its gradients zero and there for views to add to."""
    supernet.model.dropout.p = 0.0
    for parameter in supernet.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return supernet


def gradients(supernet) -> Tensor:
    """All gradients, (entries,)."""
    return torch.cat([parameter.grad.flatten() for parameter in supernet.parameters()])
