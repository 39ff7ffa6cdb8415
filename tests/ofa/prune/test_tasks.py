"""Pruning of networks that learn other things than classes: criteria measure the loss of the task."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ofa.prune import Pruner
from ofa.prune.criteria import grasp, snip, taylor
from ofa.task import Batch, regression, segmentation


def pixels():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 1))
    return model, torch.randn(8, 1, 5, 5), torch.randint(3, (8, 5, 5)), segmentation(num_classes=3)


def numbers():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 1))
    return model, torch.randn(8, 5), torch.randn(8), regression(standardize=False)


@pytest.mark.parametrize("make", [pixels, numbers])
@pytest.mark.parametrize("criterion", [snip, taylor, grasp])
def test_criteria_measure_the_loss_of_the_task(make, criterion):
    model, inputs, targets, task = make()
    pruner = Pruner(model, criterion=criterion, batches=lambda: [(inputs, targets)], task=task)
    scores = criterion(pruner.context())
    weight = model[0].weight
    if criterion is snip:
        batch = Batch(inputs, targets)
        (gradient,) = torch.autograd.grad(task.loss(model(inputs), batch), weight)
        torch.testing.assert_close(scores["0.weight"], (gradient * weight).abs().detach().double())
    pruner.prune(0.5)
    assert pruner.density == pytest.approx(0.5, abs=0.03)
