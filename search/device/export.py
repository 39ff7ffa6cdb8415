"""ONNX files of plain networks: exported, checked to compute the same, and which nodes are of which layer."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from ofa.computed_weights import plain_copy
from ofa.errors import InvalidInput
from ofa.inputs import Example, as_inputs
from ofa.modes import op_by_op
from ofa.paths import write_atomic
from ofa.precisions import Int8Layers
from search.device.flat import INPUT, OUTPUT, FlatNetwork, flattened, named_inputs

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

__all__ = ["INPUT", "OUTPUT", "export_onnx", "onnx_bytes", "onnx_difference", "tolerated"]

OPSET = 18

QKV = ((0, "query"), (1, "key"), (2, "value"))  # of attention, by position and by name

TOLERANCE = 1e-4  # of the largest logit: rounding stays a hundred times below, a wrong graph far above
WITH_WEIGHTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
FLAT = "network"  # what holds a network of several inputs or outputs while it is exported


def export_onnx(net: nn.Module, example_input: Example, path: Path) -> None:
    """Writes `net` in eval mode as ONNX: input "input" (N, C, H, W), output "logits" (N, classes), N free.

    Several inputs have the names of the forward's arguments, and several outputs those of their keys or fields.

    Raises:
        InvalidInput: the exporter refuses the network.
    """
    write_atomic(path, onnx_bytes(net, example_input))


def onnx_bytes(net: nn.Module, example_input: Example, opset: int = OPSET) -> bytes:
    """Returns the ONNX file of `net` in eval mode; `net` itself is not changed.

    It uses the exporter by tracing: 0.1 s per network, where the one by `torch.export` takes 2 to 24 s.

    Raises:
        InvalidInput: the exporter refuses the network.
    """
    plain = plain_copy(net).to("cpu").eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        _export(plain, example_input, path, opset)
        return path.read_bytes()


def _export(net: nn.Module, example_input: Example, path: Path, opset: int) -> None:
    try:
        with warnings.catch_warnings(), torch.no_grad(), op_by_op(), _SharedHeadsRepeated():
            # Warnings of deprecation, and of shapes that become constants: `onnx_difference` tries two batch sizes.
            warnings.simplefilter("ignore")
            flat = flattened(net, example_input)
            torch.onnx.export(
                flat.net,
                tuple(flat.inputs.values()),
                path,
                dynamo=False,
                opset_version=opset,
                input_names=list(flat.inputs),
                output_names=list(flat.outputs),
                dynamic_axes={name: {0: "batch"} for name in _with_batch(flat)},
            )
    except Exception as error:  # the exporter asserts, too, such as that heads of attention are not grouped
        raise InvalidInput(
            f"{type(net).__name__} cannot be written as ONNX opset {opset}: "
            f"{(str(error) or repr(error)).splitlines()[0]}"
        ) from error


class _SharedHeadsRepeated(TorchFunctionMode):
    """Gives attention a copy of its keys and values for each query head: the exporter knows no grouped queries."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is functional.scaled_dot_product_attention and kwargs.pop("enable_gqa", False):
            query, key, value = (args[number] if number < len(args) else kwargs.pop(name) for number, name in QKV)
            repeats = query.shape[-3] // key.shape[-3]
            key, value = (tensor.repeat_interleave(repeats, dim=-3) for tensor in (key, value))
            args = (query, key, value, *args[3:])
        return func(*args, **kwargs)


def _with_batch(flat: FlatNetwork) -> list[str]:
    return [name for name in (*flat.inputs, *flat.outputs) if name in flat.batched]


def onnx_difference(
    model: bytes, images: Example, outputs: Tensor | Mapping[str, Tensor], net: nn.Module | None = None
) -> tuple[float, float]:
    """Returns the largest difference of the file's outputs: absolute, and relative to the largest entry.

    The inputs (N, ...) are run together and one by one, which reveals a batch size frozen into the file.

    Args:
        model: the file.
        images: a tensor (N, C, H, W), or any inputs.
        outputs: the logits (N, classes), or every output by the name it has in the file.
        net: whose forward names the inputs, where there are several.

    Raises:
        InvalidInput: ONNX Runtime is not installed, or the file does not run.
    """
    try:
        import onnxruntime
    except ImportError:
        raise InvalidInput(
            "ONNX Runtime is not installed, and files are checked with it: pip install onnxruntime"
        ) from None
    inputs = as_inputs(images)
    expected = {OUTPUT: outputs} if isinstance(outputs, Tensor) else dict(outputs)
    try:
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        taken = [value.name for value in session.get_inputs()]

        def computed(start: int, stop: int) -> list[np.ndarray[Any, Any]]:
            named = named_inputs(net or nn.Identity(), inputs.rows(start, stop))
            given = {name: tensor.detach().cpu().numpy() for name, tensor in named.items() if name in taken}
            answers: list[np.ndarray[Any, Any]] = session.run(list(expected), given)
            return answers

        together = computed(0, inputs.batch)
        single = [computed(row, row + 1) for row in range(inputs.batch)]
    except Exception as error:  # ONNX Runtime's errors have no common base class
        raise InvalidInput(f"the ONNX file does not run: {(str(error) or repr(error)).splitlines()[0]}") from error
    worst, largest = 0.0, 1e-12
    for number, (name, tensor) in enumerate(expected.items()):
        wanted = tensor.detach().cpu().numpy()
        rows = [answers[number] for answers in single]
        one_by_one = np.concatenate(rows) if inputs.is_batched(tensor) else rows[0]
        for answer in (together[number], one_by_one):
            if answer.shape != wanted.shape:
                raise InvalidInput(f"the ONNX file gives {name} of shape {answer.shape}, the network {wanted.shape}")
            if wanted.size:
                worst = max(worst, float(np.abs(answer.astype(np.float64) - wanted).max()))
        if wanted.size:
            largest = max(largest, float(np.abs(wanted).max()))
    return worst, worst / largest


def tolerated(absolute: float, relative: float) -> tuple[float, float]:
    """Returns the result of `onnx_difference` unchanged if it is small enough.

    Raises:
        InvalidInput: the difference is larger than rounding explains.
    """
    if not relative <= TOLERANCE:
        raise InvalidInput(
            f"the ONNX file is off by {absolute:.2g} ({relative:.2g} of the largest logit, and "
            f"{TOLERANCE:g} is allowed): the exporter froze something that depends on the input"
        )
    return absolute, relative


def float_nodes(proto: ModelProto, layers: Int8Layers) -> list[str]:
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
    rounds, names = False, list[str]()
    for node in proto.graph.node:
        if node.name in weighted:
            layer = weighted[node.name]
            rounds = layers.holds(layer.removeprefix(f"{FLAT}.") if inside else layer)
        if not rounds:
            names.append(node.name)
    return names


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
