"""ONNX files of plain networks, and the check that a file computes what the network does."""

from __future__ import annotations

import copy
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ofa.errors import InvalidInput
from ofa.paths import write_atomic

OPSET = 18
INPUT, OUTPUT = "input", "logits"
TOLERANCE = 1e-4  # of the largest logit: rounding stays a hundred times below, a wrong graph far above


def export_onnx(net: nn.Module, example_input: torch.Tensor, path: Path) -> None:
    """Writes `net` in eval mode as ONNX: input "input" (N, C, H, W), output "logits" (N, classes), N free.

    Raises:
        InvalidInput: the exporter refuses the network.
    """
    write_atomic(path, onnx_bytes(net, example_input))


def onnx_bytes(net: nn.Module, example_input: torch.Tensor) -> bytes:
    """Returns the ONNX file of `net` in eval mode; `net` itself is not touched.

    The exporter is the one by tracing: 0.1 s a network, where the one by `torch.export` takes 2 to 24 s.

    Raises:
        InvalidInput: the exporter refuses the network.
    """
    plain = copy.deepcopy(net).to("cpu").eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        _export(plain, example_input.detach().to("cpu"), path)
        return path.read_bytes()


def _export(net: nn.Module, example_input: torch.Tensor, path: Path) -> None:
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # Of its deprecation, and of shapes that become constants: `onnx_difference` tries two batches.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                net,
                (example_input,),
                path,
                dynamo=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
            )
    except (RuntimeError, TypeError, ValueError, torch.onnx.errors.OnnxExporterError) as error:
        raise InvalidInput(
            f"{type(net).__name__} cannot be written as ONNX opset {OPSET}: "
            f"{(str(error) or repr(error)).splitlines()[0]}"
        ) from error


def onnx_difference(model: bytes, images: torch.Tensor, logits: torch.Tensor) -> tuple[float, float]:
    """Returns how far the file's logits are from `logits` at most: absolute, and relative to the largest.

    The images (N, C, H, W) are run at once and one by one, so a batch size frozen into the file shows.

    Raises:
        InvalidInput: ONNX Runtime is not installed, or the file does not run.
    """
    try:
        import onnxruntime
    except ImportError:
        raise InvalidInput(
            "ONNX Runtime is not installed, and files are checked with it: pip install onnxruntime"
        ) from None
    expected = logits.detach().cpu().numpy()
    inputs = images.detach().cpu().numpy()
    try:
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        together = session.run([OUTPUT], {INPUT: inputs})[0]
        single = np.concatenate([session.run([OUTPUT], {INPUT: inputs[i : i + 1]})[0] for i in range(len(inputs))])
    except Exception as error:  # ONNX Runtime's errors have no common class of their own
        raise InvalidInput(f"the ONNX file does not run: {(str(error) or repr(error)).splitlines()[0]}") from error
    if together.shape != expected.shape or single.shape != expected.shape:
        raise InvalidInput(f"the ONNX file gives shape {together.shape} where the network gives {expected.shape}")
    worst = float(max(np.abs(together - expected).max(), np.abs(single - expected).max()))
    return worst, worst / max(float(np.abs(expected).max()), 1e-12)
