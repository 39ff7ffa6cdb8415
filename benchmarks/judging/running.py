"""Where a subnet runs beyond a forward: in train mode, exported by PyTorch, and in ONNX Runtime."""

from __future__ import annotations

import io
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

import ofa
from benchmarks.judging.exact import difference, loss_of, tensors_of


def fault_of(error: Exception) -> str:
    """Returns an error's class, its first line and where it was raised."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    line = (str(error).strip() or "-").splitlines()[0][:160]
    return f"{type(error).__name__}: {line} ({Path(last.filename).name}:{last.lineno})"


def trains(supernet: ofa.Supernet, inputs: ofa.Inputs) -> str:
    """Returns "yes" where the smallest subnet and its copy run in train mode, "nor the model" or what went wrong."""

    def difference_of(net: nn.Module) -> float:
        loss_of(inputs.call(net.train())).backward()
        return 0.0

    smallest = supernet.space.smallest
    said = [
        _same_as_the_model(supernet, difference_of, 0.0, net)
        for net in (supernet.subnet(smallest), supernet.extract(smallest))
    ]
    supernet.model.zero_grad()
    return next((what for what in said if what != "yes"), "yes")


def _random_copy(supernet: ofa.Supernet) -> nn.Module:
    return supernet.extract(supernet.space.sample(np.random.default_rng(2))).float().eval()


def exported(supernet: ofa.Supernet, inputs: ofa.Inputs) -> str:
    """Returns "yes" where torch.export gives the same numbers as a copy, "nor the model" or what went wrong."""

    def difference_of(net: nn.Module) -> float:
        with torch.no_grad():
            program = torch.export.export(net, inputs.args, dict(inputs.kwargs), strict=False)
            return difference(inputs.call(program.module()), inputs.call(net))

    return _same_as_the_model(supernet, difference_of, 1e-4)


def to_onnx(supernet: ofa.Supernet, inputs: ofa.Inputs) -> str:
    """Returns "yes" where ONNX Runtime gives the same numbers, "nor the model" or what went wrong."""

    def difference_of(net: nn.Module) -> float:
        import onnxruntime

        buffer, was_fast = io.BytesIO(), torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            with torch.no_grad():
                names = [f"input_{name}" for name in inputs.tensors()]
                torch.onnx.export(
                    net,
                    inputs.args,
                    buffer,
                    kwargs=dict(inputs.kwargs),
                    dynamo=False,
                    opset_version=18,
                    input_names=names,
                )
                expected = [value.numpy() for value in tensors_of(inputs.call(net))]
        finally:
            torch.backends.mha.set_fastpath_enabled(was_fast)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 4
        session = onnxruntime.InferenceSession(buffer.getvalue(), options, providers=["CPUExecutionProvider"])
        known = {entry.name for entry in session.get_inputs()}
        feed = {f"input_{name}": tensor.numpy() for name, tensor in inputs.tensors().items()}
        feed = {name: value for name, value in feed.items() if name in known}
        return difference(
            [torch.from_numpy(value) for value in session.run(None, feed)], list(map(torch.from_numpy, expected))
        )

    return _same_as_the_model(supernet, difference_of, 1e-3)


def _same_as_the_model(
    supernet: ofa.Supernet, difference_of: Callable[[nn.Module], float], most: float, net: nn.Module | None = None
) -> str:
    """Judges what becomes of a random copy, or `net`; where it fails, the user's own model says whose fault it is."""
    try:
        gap = difference_of(_random_copy(supernet) if net is None else net)
        if gap <= most:
            return "yes"
        problem = f"off by {gap:.1e}"
    except Exception as error:
        problem = fault_of(error)
    try:
        if difference_of(supernet.extract(supernet.space.largest).float().eval()) <= most:
            return problem
        return "nor the model"
    except Exception:
        return "nor the model"
