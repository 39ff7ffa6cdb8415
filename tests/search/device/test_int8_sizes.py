"""Sizes in int8: predicted near what files have, for networks that the model was not fitted to."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

import ofa
from search.device.int8_sizes import _written, int8_figures, int8_sizes


def supernet() -> ofa.Supernet:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 4))
    return ofa.Supernet(model, torch.randn(2, 1, 8, 8))


def test_predictions_are_near_the_files_and_the_error_is_of_subnets_held_out() -> None:
    net = supernet()
    model, random = int8_sizes(net), np.random.default_rng(5)
    archs = [net.space.sample(random) for _ in range(4)]
    written = np.array([_written(net, arch) for arch in archs])
    predicted = np.stack(list(model.predict(net, archs).values()), axis=-1)
    errors = np.abs(predicted / written - 1)
    assert list(model.held_out_errors) == ["int8_bytes", "int8_peak_bytes"]
    assert errors[:, 0].max() < 0.02 and model.held_out_errors["int8_bytes"] < 0.02
    assert errors[:, 1].max() < 0.6 and 0 < model.share < 1


def test_what_is_not_needed_is_not_computed() -> None:
    assert int8_figures(supernet(), {"latency_ms", "bytes"})([]) == {}
