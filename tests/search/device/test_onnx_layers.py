"""Nodes of ONNX files belong to the layers that they were exported of, in files of networks of every kind."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from ofa.models import GPT, MLP, MobileNet, ResNet, ViT
from ofa.precisions import int8_layers
from ofa.quantization import simulated
from search.device.export import onnx_bytes
from search.device.onnx_layers import WITH_WEIGHTS, float_nodes, layer_of
from search.device.quantization import int8

IMAGES = torch.randn(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))
GROUPS = {
    "stem": ("stem.*",),
    "stage_0": ("stages.0.*",),
    "stage_1": ("stages.1.*",),
    "stage_2": ("stages.2.*",),
    "classifier": ("classifier",),
}


def resnet() -> nn.Module:
    torch.manual_seed(0)
    net = ResNet((1, 8, 8), 10, depth=8, widths=(4, 8, 8), shortcut="conv")
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net.eval()


@pytest.mark.parametrize(
    ("net", "inputs"),
    [
        (ResNet((1, 8, 8), 10, depth=8, widths=(4, 8, 8), shortcut="conv"), IMAGES[:1]),
        (ViT((1, 8, 8), 10, patch=4, width=8, depth=1, heads=2, head_size=4), IMAGES[:1]),
        (MLP((1, 8, 8), 10), IMAGES[:1]),
        (MobileNet((1, 32, 32), 10), torch.randn(1, 1, 32, 32)),
        (GPT((16,), 32, width=8, depth=1, heads=2, head_size=4), torch.randint(0, 32, (1, 16))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nodes_with_weights_are_named_after_their_layers(net: nn.Module, inputs: torch.Tensor) -> None:
    graph = onnx.load_from_string(onnx_bytes(net.eval(), inputs)).graph
    weights, layers = {tensor.name for tensor in graph.initializer}, dict(net.named_modules())
    nodes = [node for node in graph.node if node.op_type in WITH_WEIGHTS and weights & set(node.input)]
    assert nodes and all(isinstance(layers[layer_of(node)], (nn.Linear, nn.Conv2d)) for node in nodes)


@pytest.mark.parametrize("chosen", [("stem",), ("stage_1",), ("stem", "stage_0"), ("stage_1", "classifier")])
def test_a_file_has_the_groups_in_int8_alone_and_answers_as_its_simulation(chosen: tuple[str, ...]) -> None:
    net, layers = resnet(), int8_layers(GROUPS, chosen)
    content = int8(onnx_bytes(net, IMAGES[:1]), [{"input": IMAGES.numpy()}], layers)
    graph = onnx.load_from_string(content).graph
    made_int8 = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm"):
            assert (node.input[1] in made_int8) == layers.holds(layer_of(node)), node.name
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {"input": IMAGES.numpy()})
    with torch.no_grad():
        near, exact = simulated(net, IMAGES, layers)(IMAGES).numpy(), net(IMAGES).numpy()
    assert np.abs(answer - near).mean() < 0.5 * np.abs(answer - exact).mean()


def test_all_groups_are_the_file_in_int8_and_none_is_all_nodes_in_float32() -> None:
    net = resnet()
    whole, inputs = onnx_bytes(net, IMAGES[:1]), [{"input": IMAGES.numpy()}]
    assert int8(whole, inputs, int8_layers(GROUPS, GROUPS)) == int8(whole, inputs)
    proto = onnx.load_from_string(whole)
    assert float_nodes(proto, int8_layers(GROUPS, ())) == [node.name for node in proto.graph.node]
