"""Sizes in int8: predicted near what files have, for networks that the model was not fitted to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import ofa
from ofa.models import ResNet
from ofa.precisions import int8_layers
from search.device.export import onnx_bytes
from search.device.flat import arrays_of
from search.device.int8_sizes import MixedSizes, _written, int8_figures, int8_sizes
from search.device.quantization import int8, peak_bytes, timing_inputs


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


GROUPS = {"stem": ("stem.*",), "stages": ("stages.*",), "last": ("stages.2.*",), "classifier": ("classifier",)}


def test_predictions_are_near_the_files_of_each_group() -> None:
    torch.manual_seed(0)
    model = ResNet((1, 8, 8), 4, depth=8, widths=(16, 24, 32), shortcut="conv").eval()
    supernet, random = ofa.Supernet(model, torch.randn(2, 1, 8, 8)), np.random.default_rng(5)
    choices: list[tuple[str, ...]] = [(), ("stages",), ("last",), ("stem", "last"), tuple(GROUPS)]
    archs = [supernet.space.sample(random) for _ in choices]
    found = MixedSizes(supernet, GROUPS).predict(archs, choices)
    for arch, chosen, size, peak in zip(archs, choices, found["int8_bytes"], found["int8_peak_bytes"], strict=True):
        net, example = supernet.extract(arch).eval(), supernet.inputs.rows(0, 1)
        whole, given = onnx_bytes(net, example), arrays_of(net, example)
        inputs = list(timing_inputs(whole, given))
        content = int8(whole, inputs, int8_layers(GROUPS, chosen))
        assert size == pytest.approx(len(content), rel=0.05), chosen
        assert 0.5 * peak_bytes(content, inputs[0]) < peak < 3 * peak_bytes(content, inputs[0]), chosen
