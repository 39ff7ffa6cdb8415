"""Files in int8 and int4: what is quantized, from what, without a trace, and what they take in memory."""

from __future__ import annotations

import collections
import logging
import tempfile

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import ofa
from search.device.export import onnx_bytes
from search.device.quantization import BLOCK, int4, int8, peak_bytes, timing_inputs
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


def test_quantizing_is_quiet_leaves_no_files_and_repeats(tmp_path, monkeypatch, capfd, caplog):
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
    first, *others = timing_inputs(b"", {"images": example, "tokens": tokens}, seed=0)
    assert first["images"] is example
    assert len(others) == 3
    for named in others:
        assert named["tokens"] is tokens
        images = named["images"]
        assert (images.dtype, images.shape) == (example.dtype, example.shape)
        assert abs(images.mean() - example.mean()) < 0.2


def answers(model: bytes, images: torch.Tensor) -> np.ndarray:
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images.numpy()})[0]


def test_int8_with_real_inputs_is_near_float_and_has_a_scale_for_each_channel():
    model, images = net().eval(), torch.randn(64, 3, 8, 8)
    with torch.no_grad():
        model[0].weight[0] *= 50  # one channel whose scale would leave the others two or three values
        expected = model(images).numpy()
    content = int8(onnx_bytes(model, images[:1]), [{"input": images.numpy()}])
    apart = np.abs(answers(content, images) - expected).max()
    assert apart < 0.1 * np.abs(expected).max()
    scales = {
        tuple(tensor.dims) for tensor in onnx.load_from_string(content).graph.initializer if "scale" in tensor.name
    }
    assert {(8,), (3,)} <= scales


def test_int8_needs_an_opset_with_scales_by_channel():
    images = torch.randn(2, 3, 8, 8)
    with pytest.raises(ofa.InvalidInput, match=r"needs export.opset=13 or more, not 11"):
        int8(onnx_bytes(net(), images, opset=11), [{"input": images.numpy()}])


def test_int4_keeps_the_answers_of_convolutions_linear_layers_and_products():
    torch.manual_seed(1)
    linear = nn.Sequential(nn.Linear(50, 64), nn.GELU(), nn.Linear(64, 40, bias=False))
    for model, images in (
        (net(), torch.randn(4, 3, 8, 8)),
        (linear, torch.randn(2, 5, 50)),
        (linear, torch.randn(2, 50)),
    ):
        model.eval()
        content = int4(whole := onnx_bytes(model, images))
        expected = model(images).detach().numpy()
        apart = np.abs(answers(content, images) - expected)
        assert 1e-5 < apart.max() < 0.25 * np.abs(expected).max()
        weights = [tensor for tensor in onnx.load_from_string(content).graph.initializer if tensor.data_type == 22]
        layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        assert len(weights) == len(layers)
        assert sum(len(tensor.raw_data) for tensor in weights) == sum(-(-each.weight.numel() // 2) for each in layers)
        assert len(content) < len(whole) + 3000


def test_int4_weights_are_the_nearest_of_sixteen_values_in_each_block():
    layer = nn.Linear(BLOCK + 5, 3, bias=False)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[1, :BLOCK] = torch.arange(BLOCK).remainder(15) - 7.0
        layer.weight[1, BLOCK:] = 0.01
    identity = torch.eye(BLOCK + 5)
    assert torch.allclose(
        torch.from_numpy(answers(int4(onnx_bytes(layer, identity)), identity)), layer.weight.T, atol=1e-6
    )


def test_int4_of_a_network_without_layers_is_refused():
    with pytest.raises(ofa.InvalidInput, match=r"convolutions and linear layers, and the network has none"):
        int4(onnx_bytes(nn.ReLU(), torch.randn(1, 4)))


def test_the_peak_of_a_chain_is_what_two_neighbors_need():
    chain = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1)).eval()
    images = torch.randn(1, 3, 8, 8)
    content = onnx_bytes(chain, images)
    given = {"input": images.numpy()}
    assert peak_bytes(content, given) == 4 * 64 * (3 + 8)
    assert peak_bytes(int8(content, [given]), given) < peak_bytes(content, given)
