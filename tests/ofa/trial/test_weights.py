"""Weights that are set again are the same, and no two rows or tensors are alike."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ofa.trial.weights import Weights


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.complex64])
def test_weights_are_the_same_when_set_again(own: bool, dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(8, 5)).to(dtype)
    original = [parameter.clone() for parameter in model.parameters()]
    weights = Weights.random().near(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(8, 5))) if own else Weights.random()
    first = [parameter.clone() for parameter in weights.fill_all_(model).parameters()]
    assert all((a != b).any() for a, b in zip(original, first, strict=True))
    for name, parameter in model.named_parameters():
        with torch.no_grad():
            parameter.zero_()
        weights.fill_(name, parameter)
    assert all(torch.equal(a, b) for a, b in zip(first, model.parameters(), strict=True))


def test_a_layout_in_memory_changes_no_weight() -> None:
    convolution = nn.Conv2d(4, 8, 3)
    dense = Weights.random().fill_all_(convolution).weight.clone()
    turned = convolution.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert torch.equal(Weights.random().fill_all_(turned).weight, dense)


def test_rows_of_a_large_matrix_differ_and_have_the_scale_of_the_fan_in() -> None:
    matrix = nn.Linear(1024, 2048, bias=False)
    weight = Weights.random().fill_all_(matrix).weight.detach()
    assert len(torch.unique(weight, dim=0)) == 2048
    assert abs(float(weight.std()) * 32 - 1) < 0.01
