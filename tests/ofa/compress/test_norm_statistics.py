"""Norm statistics go into scales and shifts: the answers stay, and the file holds fewer numbers."""

from __future__ import annotations

import copy

import torch
from torch import nn

from ofa.compress import coded_sizes, fold_norm_statistics_


def network() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 12, 3, bias=False),
        nn.BatchNorm2d(12, eps=0.1),
        nn.ReLU(),
        nn.Conv2d(12, 8, 3),
        nn.BatchNorm2d(8, affine=False),
        nn.Flatten(),
        nn.Linear(8, 6),
        nn.BatchNorm1d(6, track_running_stats=False),
    )
    for norm in (net[1], net[4]):
        nn.init.normal_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.2, 3.0)
        norm.num_batches_tracked.fill_(7)
    nn.init.normal_(net[1].weight)
    nn.init.normal_(net[1].bias)
    return net.double().eval()


def test_answers_stay_and_statistics_are_those_of_a_fresh_norm() -> None:
    net = network()
    images = torch.randn(5, 3, 5, 5, dtype=torch.float64)
    folded = fold_norm_statistics_(copy.deepcopy(net))
    torch.testing.assert_close(folded(images), net(images), rtol=1e-12, atol=1e-12)
    assert not folded[1].running_mean.any() and (folded[1].running_var == 1).all()
    assert not torch.equal(folded[1].weight, net[1].weight)


def test_norms_without_scale_or_statistics_stay_as_they_are() -> None:
    net = network()
    folded = fold_norm_statistics_(copy.deepcopy(net))
    for place in (4, 7):
        assert all(
            torch.equal(value, net[place].state_dict()[name]) for name, value in folded[place].state_dict().items()
        )


def test_the_file_is_smaller_and_folding_again_changes_nothing() -> None:
    net = network().float()
    once = fold_norm_statistics_(copy.deepcopy(net))
    assert coded_sizes(once.state_dict()).total < coded_sizes(net.state_dict()).total - 2 * 12 * 2
    twice = fold_norm_statistics_(copy.deepcopy(once))
    torch.testing.assert_close(twice[1].weight, once[1].weight, rtol=1e-6, atol=0)
