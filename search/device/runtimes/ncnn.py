"""ncnn: Tencent's runtime for the processors of phones and single-board computers."""

from __future__ import annotations

import subprocess
import tempfile
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from ofa.computed_weights import plain_copy
from ofa.errors import InvalidInput
from ofa.inputs import Example, as_inputs
from ofa.modes import op_by_op
from search.device.runtimes.portable import FileRuntime

SECONDS = 300  # time limit for converting a network; small ones take a quarter of a second


class Ncnn(FileRuntime):
    """Runs the files that pnnx makes of the traced network, one image at a time.

    Args:
        threads: the number of threads.
        precision: "float32", or "float16": weights stored in 16 bits, and 16-bit arithmetic on processors that have it.

    Raises:
        InvalidInput: fewer than one thread, an unknown precision, or ncnn or pnnx is not installed.
    """

    name = loader = "ncnn"
    extra = "ncnn"

    def __init__(self, threads: int = 1, precision: str = "float32") -> None:
        super().__init__(threads=threads, precision=precision)
        try:
            import pnnx
        except ImportError:
            raise InvalidInput("runtime ncnn needs pnnx, too: pip install pnnx, or ofa-search[ncnn]") from None
        self._converter = str(pnnx.EXEC_PATH)

    def write(self, net: nn.Module, example_input: Example) -> dict[str, bytes]:
        """Returns the files "param" (the graph) and "bin" (the weights) of `net`.

        Raises:
            InvalidInput: the network cannot be traced or converted.
        """
        half = int(self.options["precision"] == "float16")  # pnnx's own default is 1
        image = _image(net, example_input)
        shape = ",".join(str(size) for size in image.shape)
        with tempfile.TemporaryDirectory() as folder:
            _trace(net, image, Path(folder, "net.pt"))
            # The program itself: pnnx.export would import the Python code it wrote, which is not always valid.
            command = [self._converter, "net.pt", f"inputshape=[{shape}]", f"fp16={half}"]
            error = _last_error(command, folder)
            files = {suffix: Path(folder, f"net.ncnn.{suffix}") for suffix in ("param", "bin")}
            if not all(file.is_file() for file in files.values()):
                raise InvalidInput(f"{type(net).__name__} cannot be converted for ncnn; pnnx said: {error:.200}")
            return {suffix: file.read_bytes() for suffix, file in files.items()}


def _image(net: nn.Module, example_input: Example) -> Tensor:
    """The one tensor of numbers that ncnn's networks are converted and run with."""
    inputs = as_inputs(example_input)
    if inputs.only is None or not inputs.only.is_floating_point():
        raise InvalidInput(
            f"{type(net).__name__} takes {inputs.shapes}; ncnn converts networks of one floating-point tensor: "
            "take onnxruntime or openvino"
        )
    return inputs.only


def _trace(net: nn.Module, image: Tensor, path: Path) -> None:
    plain = plain_copy(net).to("cpu").eval()
    try:
        with warnings.catch_warnings(), torch.no_grad(), op_by_op():
            warnings.simplefilter("ignore")  # of its deprecation, and of shapes that become constants
            traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                plain, (image.detach().cpu(),), check_trace=False
            )
            traced.save(str(path))
    except Exception as error:  # whatever the network's own code raises
        reason = (str(error) or repr(error)).splitlines()[0]
        raise InvalidInput(f"{type(net).__name__} cannot be traced for ncnn: {reason}") from error


def _last_error(command: list[str], folder: str) -> str:
    """Returns the last line of errors of a program that ran in `folder`, or how it ended."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit status {done.returncode}"
