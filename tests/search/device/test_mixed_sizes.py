"""Sizes of files with some groups of layers in int8: predicted near what they have, for networks not fitted to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ofa
from ofa.models import ResNet
from ofa.precisions import int8_layers
from search.device.export import onnx_bytes
from search.device.flat import arrays_of
from search.device.mixed_sizes import MixedSizes
from search.device.quantization import int8, peak_bytes, timing_inputs

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
