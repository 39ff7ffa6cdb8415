"""Which nodes of an ONNX file belong to which layer of the network, by the names that the exporter gives them."""

from __future__ import annotations

import onnx
from onnx import NodeProto

from ofa.precisions import Int8Layers

WITH_WEIGHTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
FLAT = "network"  # what holds a network of several inputs or outputs while it is exported


def float_nodes(proto: onnx.ModelProto, layers: Int8Layers) -> list[str]:
    """Returns the names of the nodes that stay in float32 where some layers compute in int8.

    A node without weights is computed as the layer before it, and the nodes before the first layer in float32, as in
    `ofa.quantization.Quantized`.
    """
    weights = {tensor.name for tensor in proto.graph.initializer}
    weighted = {
        node.name: layer_of(node)
        for node in proto.graph.node
        if node.op_type in WITH_WEIGHTS and weights & set(node.input)
    }
    inside = all(layer.startswith(f"{FLAT}.") for layer in weighted.values())
    rounds, found = False, list[str]()
    for node in proto.graph.node:
        if node.name in weighted:
            layer = weighted[node.name]
            rounds = layers.holds(layer.removeprefix(f"{FLAT}.") if inside else layer)
        if not rounds:
            found.append(node.name)
    return found


def layer_of(node: NodeProto) -> str:
    """Returns the name of the layer that a node was exported of.

    A node's name is its path, "/stages.0/stages.0.1/conv1/Conv" of the layer "stages.0.1.conv1": what is in a list
    carries the list's name before its own.
    """
    path = list[str]()
    for part in node.name.strip("/").split("/")[:-1]:
        if path and part.startswith(f"{path[-1].rpartition('/')[2]}."):
            path[-1] = part
        else:
            path.append(part)
    return ".".join(path)
