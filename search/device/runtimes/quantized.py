"""int8 copies of ONNX files, made for their timing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ofa.errors import InvalidInput

RANDOM_INPUTS = 3


def quantized(model: bytes, example: np.ndarray[Any, Any], seed: int = 0) -> bytes:
    """Returns the ONNX file with its weights and activations in int8, by pairs of QuantizeLinear and DequantizeLinear.

    The scales come from the example and a few random inputs with its mean and spread. What a network takes does not
    depend on its scales, so that is enough to time it; how accurate int8 is cannot be judged from this file.

    Raises:
        InvalidInput: ONNX Runtime cannot quantise the network.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Calibration(CalibrationDataReader):  # type: ignore[misc]
        """The example, and the random inputs after it."""

        def __init__(self) -> None:
            self.inputs = calibration_inputs(example, seed)

        def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
            """Returns the next input by name; None after the last."""
            return next(({given: images} for images in self.inputs), None)

    proto = onnx.load_from_string(model)
    given = proto.graph.input[0].name
    unshare(proto.graph)
    # The exporter has folded and inferred what there is; the mark keeps a warning about that away.
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
                calibration_providers=["CPUExecutionProvider"],
            )
        except Exception as error:  # ONNX Runtime's errors have no common class of their own
            reason = (str(error) or repr(error)).splitlines()[0]
            raise InvalidInput(f"precision='int8': the network cannot be quantised ({reason}); take float32") from error
        return path.read_bytes()


def unshare(graph: onnx.GraphProto) -> None:
    """Gives every layer weights of its own: the exporter stores equal ones once, and only own ones are quantised."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    shared = [node for node in graph.node if node.op_type == "Identity" and node.input[0] in weights]
    for node in shared:
        graph.initializer.add().CopyFrom(weights[node.input[0]])
        graph.initializer[-1].name = node.output[0]
        graph.node.remove(node)


def calibration_inputs(example: np.ndarray[Any, Any], seed: int) -> Iterator[np.ndarray[Any, Any]]:
    """Returns the example and random inputs like it, one after the other."""
    generator = np.random.default_rng(seed)
    yield example
    for _ in range(RANDOM_INPUTS):
        noise = generator.standard_normal(example.shape)
        yield (example.mean() + max(float(example.std()), 1e-3) * noise).astype(example.dtype)
