"""Bytes of coded files: predicted near those of files that are coded, whole and pruned, with an error that is said."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import ofa
from ofa.arch import Arch
from ofa.checkpoint import weights
from ofa.compress import coded_sizes
from ofa.models import LeNet5
from ofa.randomize import randomize_
from search.candidates.coded_bytes import CodedBytes, coded_bytes


@pytest.fixture(scope="module")
def supernet() -> ofa.Supernet:
    torch.manual_seed(0)
    net = LeNet5((1, 8, 8), 4, channels=(16, 32), hidden=(48, 32), batch_norm=True)
    randomize_(net, 3)
    return ofa.Supernet(net, torch.randn(2, 1, 8, 8), ofa.SpaceRules(width_ratios=(0.25, 0.5, 0.75, 1.0)))


def matrices(supernet: ofa.Supernet) -> list[str]:
    return [name for name, parameter in supernet.model.named_parameters() if parameter.dim() > 1]


def counted(supernet: ofa.Supernet, arch: Arch, removed: float = 0.0) -> int:
    """The bytes of the tensors of a subnet, its matrices and kernels pruned by magnitude."""
    tensors: dict[str, Tensor] = dict(weights(supernet.extract(arch)))
    for name, tensor in tensors.items():
        if tensor.dim() > 1 and removed:
            least = tensor.abs().flatten().sort().values[round(removed * tensor.numel())]
            tensors[name] = torch.where(tensor.abs() >= least, tensor, 0.0)
    return sum(sizes.total for sizes in coded_sizes(tensors).tensors.values())


def archs_of(supernet: ofa.Supernet) -> list[Arch]:
    random = np.random.default_rng(11)
    return [supernet.space.sample(random) for _ in range(6)]


def off(model: CodedBytes, supernet: ofa.Supernet, removed: float = 0.0) -> float:
    """The mean relative error of subnets that the model has not seen."""
    archs = archs_of(supernet)
    shares = {name: np.full(len(archs), removed) for name in matrices(supernet)}
    predicted = model.predict(supernet, archs, shares if removed else None) - model.rest
    real = np.array([counted(supernet, arch, removed) for arch in archs], dtype=np.float64)
    return float(np.abs(predicted / real - 1).mean())


def test_whole_files_are_predicted_within_a_few_thousandths_and_the_error_is_said(supernet: ofa.Supernet) -> None:
    model = coded_bytes(supernet)
    assert 0 < model.held_out_error < 0.01 and model.samples == 24
    assert off(model, supernet) < 0.01
    sizes = model.predict(supernet, [supernet.space.smallest, supernet.space.largest])
    assert sizes[0] < sizes[1] < ofa.cost(supernet, [supernet.space.largest])["bytes"][0]
    again = coded_bytes(supernet)
    assert np.array_equal(again.rates, model.rates) and again.held_out_error == model.held_out_error


@pytest.mark.slow
@pytest.mark.parametrize("removed", [0.5, 0.9])
def test_files_of_pruned_networks_are_predicted_by_the_share_that_is_removed(
    supernet: ofa.Supernet, removed: float
) -> None:
    model = coded_bytes(supernet, matrices(supernet))
    assert 0 < model.held_out_error < 0.1
    assert off(model, supernet, removed) < 0.1
    archs = archs_of(supernet)
    shares = {name: np.full(len(archs), removed) for name in matrices(supernet)}
    assert (model.predict(supernet, archs, shares) < 0.8 * model.predict(supernet, archs)).all()
