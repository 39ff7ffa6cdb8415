"""ONNX files in fewer bits: int8 with scales from inputs, weights alone in int4; and what a file takes in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from ofa.errors import InvalidInput
from ofa.precisions import Int8Layers
from search.device.export import float_nodes
from search.device.flat import Arrays

Named = Mapping[str, np.ndarray[Any, Any]]  # the inputs of one run by name

INT8: Literal["int8"] = "int8"
INT8_OPSET = 13  # the first in which a scale can belong to a channel
INT4_OPSET = 21  # the first with 4-bit tensors
RANDOM_INPUTS = 3


def timing_inputs(model: bytes, example: Arrays, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yields the example and a few random inputs like it, by name; whole numbers stay as they are.

    A network's latency does not depend on its scales, so these are enough to time it in int8, and not to judge it.
    """
    generator = np.random.default_rng(seed)
    named = example if isinstance(example, dict) else {onnx.load_from_string(model).graph.input[0].name: example}

    def like(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if not np.issubdtype(array.dtype, np.floating):
            return array
        noise = generator.standard_normal(array.shape)
        varied: np.ndarray[Any, Any] = (array.mean() + max(float(array.std()), 1e-3) * noise).astype(array.dtype)
        return varied

    yield dict(named)
    for _ in range(RANDOM_INPUTS):
        yield {name: like(array) for name, array in named.items()}


def int8(model: bytes, inputs: Iterable[Named], layers: Int8Layers | None = None) -> bytes:
    """Returns the ONNX file with weights and activations in int8, by pairs of QuantizeLinear and DequantizeLinear.

    A weight's scales are those of its output channels, an activation's is of the least and greatest value that it has
    for the inputs (Jacob et al. 2018, 1712.05877). Weights have 7 bits: the 8-bit products of processors without VNNI
    saturate in pairs (outputs were up to their whole size off on an AVX2 machine). Times stay within 1 %.

    Args:
        inputs: of a few runs, by name.
        layers: those in int8; None: all.

    Raises:
        InvalidInput: ONNX Runtime cannot quantize the network, or its opset is older than `INT8_OPSET`.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Calibration(CalibrationDataReader):  # type: ignore[misc]
        """The inputs, one run after the other."""

        def __init__(self) -> None:
            self.inputs = iter(inputs)

        def get_next(self) -> Named | None:
            """Returns the next inputs by name; None after the last."""
            return next(self.inputs, None)

    proto = onnx.load_from_string(model)
    if (opset := _opset(proto)) < INT8_OPSET:
        raise InvalidInput(f"int8 with a scale for each channel needs export.opset={INT8_OPSET} or more, not {opset}")
    unshare(proto.graph)
    # The exporter has already folded constants and inferred shapes; the mark silences a warning about that.
    proto.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        try:
            quantize_static(
                proto,
                path,
                Calibration(),
                # With the usual signed activations ONNX Runtime leaves half of ResNet-20's convolutions in float32 on
                # x86: 0.79 ms in place of 0.27, where the network in float32 takes 0.52.
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=True,
                nodes_to_exclude=[] if layers is None else float_nodes(proto, layers),
                calibration_providers=["CPUExecutionProvider"],
            )
        except Exception as error:  # ONNX Runtime's errors have no common base class
            reason = (str(error) or repr(error)).splitlines()[0]
            raise InvalidInput(f"precision='int8': the network cannot be quantized ({reason}); take float32") from error
        return path.read_bytes()


def _opset(proto: onnx.ModelProto) -> int:
    return max(int(each.version) for each in proto.opset_import if each.domain in ("", "ai.onnx"))


def unshare(graph: onnx.GraphProto) -> None:
    """Copies shared weights: the exporter stores equal weights once, and only unshared ones are quantized."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    shared = [node for node in graph.node if node.op_type == "Identity" and node.input[0] in weights]
    for node in shared:
        graph.initializer.add().CopyFrom(weights[node.input[0]])
        graph.initializer[-1].name = node.output[0]
        graph.node.remove(node)


BLOCK = 32  # inputs of a linear layer that have a scale together
_SHRUNK = np.linspace(1.0, 0.7, 13)  # of a block's largest weight: what is tried as the largest that is represented


def int4(model: bytes) -> bytes:
    """Returns the ONNX file with the weights of its layers in 4 bits, and everything else in float32.

    They are standard ONNX: a tensor of INT4 and a DequantizeLinear before the layer. A convolution has a scale for each
    output channel, a linear layer one for each `BLOCK` inputs of an output. Of some scales that with the smallest
    squared error is taken.

    Raises:
        InvalidInput: no layer has a weight of its own, or the file cannot be brought to `INT4_OPSET`.
    """
    proto = onnx.load_from_string(model)
    unshare(proto.graph)
    try:
        if _opset(proto) < INT4_OPSET:
            proto = onnx.version_converter.convert_version(proto, INT4_OPSET)
    except Exception as error:  # of the converter's own, in C++
        reason = (str(error) or repr(error)).splitlines()[0]
        raise InvalidInput(f"precision='int4' needs opset {INT4_OPSET}: {reason:.200}") from error
    weights = {tensor.name: tensor for tensor in proto.graph.initializer}
    nodes: list[NodeProto] = []
    packed: set[str] = set()
    for node in proto.graph.node:
        weight = _weight_of(node)
        tensor = weights.get(node.input[weight[0]]) if weight else None
        if weight and tensor is not None and tensor.data_type == TensorProto.FLOAT and len(tensor.dims) >= 2:
            if tensor.name not in packed:
                packed.add(tensor.name)
                nodes.append(_packed_(proto.graph, tensor, weight[1]))
        nodes.append(node)
    if not packed:
        raise InvalidInput("precision='int4' is of convolutions and linear layers, and the network has none")
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    unpacked = [tensor for tensor in proto.graph.initializer if tensor.name not in packed]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(unpacked)
    return bytes(proto.SerializeToString())


def _weight_of(node: NodeProto) -> tuple[int, int | None] | None:
    """Which input of a node is its weight, and the axis of that weight's blocks; None for its output channels."""
    if node.op_type == "Conv":
        return 1, None
    if node.op_type == "MatMul":
        return 1, 0
    if node.op_type == "Gemm":
        transposed = any(each.name == "transB" and each.i for each in node.attribute)
        return 1, 1 if transposed else 0
    return None


def _packed_(graph: onnx.GraphProto, tensor: TensorProto, axis: int | None) -> NodeProto:
    """Adds a weight in 4 bits with its scales to a graph, and returns the node that makes it float32 again."""
    weight = numpy_helper.to_array(tensor)
    axis = None if weight.ndim > 2 else axis  # a product of more dimensions is no layer's
    if axis is None:
        blocks = weight.reshape(weight.shape[0], 1, -1)
    else:
        moved = np.moveaxis(weight, axis, -1)
        short = -moved.shape[-1] % BLOCK
        blocks = np.pad(moved, ((0, 0), (0, short))).reshape(moved.shape[0], -1, BLOCK)
    codes, scales = _four_bits(blocks)
    if axis is None:
        codes, scales = codes.reshape(weight.shape), scales[:, 0]
    else:
        codes = np.moveaxis(codes.reshape(moved.shape[0], -1)[:, : moved.shape[-1]], -1, axis)
        scales = scales if axis == 1 else scales.T
    flat = np.append(codes.reshape(-1), np.zeros(codes.size % 2, dtype=np.int8)) & 15
    names = f"{tensor.name}_int4", f"{tensor.name}_scales"
    content = (flat[0::2] | flat[1::2] << 4).astype(np.uint8).tobytes()
    graph.initializer.append(
        TensorProto(name=names[0], data_type=TensorProto.INT4, dims=weight.shape, raw_data=content)
    )
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(scales), names[1]))
    size = 0 if axis is None else BLOCK
    return helper.make_node("DequantizeLinear", list(names), [tensor.name], axis=axis or 0, block_size=size)


def _four_bits(blocks: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Codes from -8 to 7, int8 as `blocks` (rows, blocks, entries), and scales, float32 (rows, blocks)."""
    largest = np.maximum(np.abs(blocks).max(axis=-1), 1e-12)
    best, scales = np.full(largest.shape, np.inf), largest / 7
    for share in _SHRUNK:
        scale = share * largest / 7
        error = np.square(_codes(blocks, scale) * scale[..., None] - blocks).sum(axis=-1)
        scales = np.where(error < best, scale, scales)
        best = np.minimum(error, best)
    scales = scales.astype(np.float32)
    return _codes(blocks, scales).astype(np.int8), scales


def _codes(blocks: np.ndarray[Any, Any], scales: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    codes: np.ndarray[Any, Any] = np.clip(np.rint(blocks / scales[..., None]), -8, 7)
    return codes


def peak_bytes(model: bytes, inputs: Named) -> int:
    """Returns the most bytes of tensors beside the weights that are needed at once, as ONNX Runtime runs the file.

    Its layers are taken as ONNX Runtime joins them here, in its order, each tensor from where it is made to where it is
    used last; memory inside of a layer, and what is laid out once when the file is loaded, are not counted.
    """
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    # No more: then layers are laid out for this processor alone.
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    with tempfile.TemporaryDirectory() as folder:
        settings.optimized_model_filepath = str(Path(folder, "joined.onnx"))
        onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
        proto = onnx.load(settings.optimized_model_filepath)
    nodes = list(proto.graph.node)
    made = [name for node in nodes for name in node.output if name]
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
    plain = onnxruntime.SessionOptions()
    plain.log_severity_level = 3
    plain.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(proto.SerializeToString(), plain, providers=["CPUExecutionProvider"])
    taken = {value.name: inputs[value.name] for value in session.get_inputs()}
    sizes = {name: array.nbytes for name, array in zip(made, session.run(made, taken), strict=True)}
    sizes |= {name: array.nbytes for name, array in taken.items()}
    last = {name: number for number, node in enumerate(nodes) for name in node.input}
    alive, peak = set(taken), 0
    for number, node in enumerate(nodes):
        alive |= {name for name in node.output if name}
        peak = max(peak, sum(sizes[name] for name in alive))
        alive = {name for name in alive if last.get(name, len(nodes)) > number}
    return peak
