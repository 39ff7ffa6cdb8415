"""How many examples norm statistics take: twice as many until two halves agree, never more than there are."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

import ofa
from ofa.calibration_size import LEAST, CalibrationSize, calibration_size, statistics_difference
from ofa.data import Dataset, Preprocessing, Split
from ofa.errors import InvalidInput


def data_of(examples: int, spread: float = 1.0) -> Dataset:
    """Images of noise, each around a mean of its own, as far from the others as `spread` says."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(examples, 1, 6, 6, generator=generator)
    pixels += spread * torch.randn(examples, 1, 1, 1, generator=generator)
    stored = (255 * (pixels / 20 + 0.5)).clamp(0, 255).to(torch.uint8)
    split = Split(stored, torch.arange(examples) % 2, Preprocessing(255.0, (0.5,), (0.05,)))
    return Dataset("noise", split, split, split, num_classes=2)


def supernet_of(norm: type[nn.Module] | None = nn.BatchNorm2d) -> ofa.Supernet:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 16, 3), *([] if norm is None else [norm(16)]), nn.ReLU(), nn.Flatten(), nn.Linear(256, 2)]
    return ofa.Supernet(nn.Sequential(*layers), torch.randn(2, 1, 6, 6))


def test_examples_that_differ_more_take_more_of_them() -> None:
    alike, apart = (calibration_size(supernet_of(), data_of(4096, spread), tolerance=0.05) for spread in (0.0, 3.0))
    assert LEAST <= alike.examples < apart.examples <= 4096
    assert alike.is_stable and alike.difference is not None and alike.difference <= 0.05


def test_it_ends_with_the_data_and_says_that_the_halves_differ() -> None:
    size = calibration_size(supernet_of(), data_of(200, 3.0), tolerance=1e-6)
    assert size.examples == 200 and not size.is_stable
    assert calibration_size(supernet_of(), data_of(1000, 3.0), tolerance=1e-6, most=300).examples == 256


def test_it_is_a_function_of_weights_and_data_and_leaves_the_supernet_as_it_was() -> None:
    supernet, data = supernet_of(), data_of(300)
    before = deepcopy(supernet.model.state_dict())
    torch.manual_seed(1)
    first = calibration_size(supernet, data)
    torch.manual_seed(2)
    assert calibration_size(supernet, data) == first
    assert all(torch.equal(value, before[name]) for name, value in supernet.model.state_dict().items())


def test_without_statistics_nothing_is_measured() -> None:
    assert calibration_size(supernet_of(None), data_of(300)) == CalibrationSize(1, None, 0.05)


def test_a_tolerance_is_above_zero() -> None:
    with pytest.raises(InvalidInput, match="tolerance=0 must be more than 0"):
        calibration_size(supernet_of(), data_of(300), tolerance=0)


def test_the_difference_is_in_standard_deviations() -> None:
    one = nn.Sequential(nn.BatchNorm1d(4, eps=0.0), nn.ReLU(), nn.BatchNorm1d(2, eps=0.0))
    for layer in (one[0], one[2]):
        nn.init.normal_(layer.running_mean)
        nn.init.uniform_(layer.running_var, 4.0, 9.0)
    other = deepcopy(one)
    assert statistics_difference(one, other) == 0.0
    other[2].running_mean += 0.5 * one[2].running_var.sqrt()
    assert statistics_difference(one, other) == pytest.approx(0.5)
    other[2].running_mean -= 0.5 * one[2].running_var.sqrt()
    other[0].running_var *= 4.0  # standard deviations of twice the size
    assert statistics_difference(one, other) == pytest.approx(0.6931, rel=1e-3)
