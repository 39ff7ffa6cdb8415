"""int8: what is quantised, from what, and without a trace."""

from __future__ import annotations

import collections
import logging
import tempfile

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from search.device.export import calibration_inputs
from search.device.runtimes import OnnxRuntime


def net() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.Hardswish(),
        nn.Conv2d(8, 8, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )
    for index in (3, 5):
        nn.init.zeros_(layers[index].bias)  # equal ones, which the exporter stores once
    return layers


def test_every_layer_with_weights_computes_in_int8(tmp_path):
    model = OnnxRuntime(precision="int8").write(net(), torch.randn(1, 3, 8, 8))["onnx"]
    settings = onnxruntime.SessionOptions()
    settings.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    settings.log_severity_level = 3
    onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    kinds = collections.Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
    assert (kinds["QLinearConv"], kinds["Conv"], kinds["QGemm"], kinds["Gemm"]) == (3, 0, 1, 0)


def test_quantising_is_quiet_leaves_no_files_and_repeats(tmp_path, monkeypatch, capfd, caplog):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    model, images = net(), torch.randn(1, 3, 8, 8)
    with caplog.at_level(logging.WARNING):
        first = OnnxRuntime(precision="int8").write(model, images)
    assert first == OnnxRuntime(precision="int8").write(model, images)
    assert list(tmp_path.iterdir()) == []
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_calibration_sees_the_example_and_images_like_it():
    example = np.full((1, 3, 8, 8), 5, dtype=np.float32) + np.random.default_rng(0).random((1, 3, 8, 8), np.float32)
    tokens = np.arange(4)
    first, *others = calibration_inputs({"images": example, "tokens": tokens}, seed=0)
    assert first["images"] is example
    assert len(others) == 3
    for named in others:
        assert named["tokens"] is tokens
        images = named["images"]
        assert (images.dtype, images.shape) == (example.dtype, example.shape)
        assert abs(images.mean() - example.mean()) < 0.2
