"""Runtime libraries: each loads the files of a network and an input into a function that runs it once.

Only the standard library and NumPy are imported with this file: it is also part of the script that measures on a
device that has neither PyTorch nor this toolkit. The libraries that run networks are imported when they are asked for.
"""

from __future__ import annotations

import importlib
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

# float32 (1, C, H, W), or what a single block takes; arrays by name where a network takes several.
NetworkInput = np.ndarray[Any, Any] | Mapping[str, np.ndarray[Any, Any]]
NetworkFiles = Mapping[str, bytes]  # by suffix: {"onnx": ...}
LoaderOptions = Mapping[str, Any]  # values of JSON
NetworkRun = Callable[[], object]


class RuntimeMissing(ValueError):
    """A library, or a part of one, is not on this machine; the message says how to get it."""


class NetworkRefused(ValueError):
    """A library does not accept a network or an option; the message says why."""


def import_runtime(loader: str, module: str) -> Any:
    """Returns a module of the library of a loader.

    Raises:
        RuntimeMissing: it is not installed, or does not import.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        absent = (error.name or module).split(".")[0]  # the library, or one that it needs
        raise RuntimeMissing(f"runtime {loader} is not installed: pip install {absent}") from None
    except ImportError as error:
        raise RuntimeMissing(f"runtime {loader} is installed and cannot be imported: {line_of_error(error)}") from error


def by_name(inputs: NetworkInput, names: Sequence[str]) -> Mapping[str, np.ndarray[Any, Any]]:
    """Returns the arrays of an input by name, an array alone by the first of the network's names."""
    return inputs if isinstance(inputs, Mapping) else {names[0]: inputs}


def line_of_error(error: BaseException) -> str:
    """Returns the first non-empty line of an error's text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else repr(error)


def load_with_onnxruntime(files: NetworkFiles, inputs: NetworkInput, options: LoaderOptions) -> NetworkRun:
    """Returns the run of an ONNX file under ONNX Runtime; another provider copies in- and outputs in every run.

    Raises:
        RuntimeMissing: this build lacks the provider, or it does not start.
    """
    onnxruntime = import_runtime("onnxruntime", "onnxruntime")
    provider, available = options["provider"], onnxruntime.get_available_providers()
    if provider not in available:
        raise RuntimeMissing(f"this ONNX Runtime has no provider {provider!r}; it has {', '.join(available)}")
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options["threads"]
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(files["onnx"], settings, providers=[provider])
    if provider not in session.get_providers():  # it goes on with the CPU, whose time would be taken for the other's
        raise RuntimeMissing(f"provider {provider} does not start here, where ONNX Runtime would run on the CPU")
    outputs = [output.name for output in session.get_outputs()]
    names = [value.name for value in session.get_inputs()]
    given = {name: array for name, array in by_name(inputs, names).items() if name in names}
    return lambda: session.run(outputs, given)


def load_with_openvino(files: NetworkFiles, inputs: NetworkInput, options: LoaderOptions) -> NetworkRun:
    """Returns the run of an ONNX file under OpenVINO, compiled for the shape of `inputs`.

    Raises:
        RuntimeMissing: OpenVINO does not see the device.
    """
    openvino = import_runtime("openvino", "openvino")
    core = openvino.Core()
    device = options["device"]
    if device not in core.available_devices:
        raise RuntimeMissing(f"OpenVINO sees no device {device!r}; it sees {', '.join(core.available_devices)}")
    # By default it computes in 16 bits on processors that can.
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    if device == "CPU":
        settings["INFERENCE_NUM_THREADS"] = str(options["threads"])
    model = core.read_model(files["onnx"])
    names = [value.any_name for value in model.inputs]
    given = {name: array for name, array in by_name(inputs, names).items() if name in names}
    # A batch size that is left free costs time in every run.
    model.reshape({name: list(array.shape) for name, array in given.items()})
    request = core.compile_model(model, device, settings).create_infer_request()
    for name, array in given.items():
        request.set_tensor(name, openvino.Tensor(array, shared_memory=True))

    def run_once() -> object:
        return list(request.infer(share_outputs=True).values())

    return run_once


def load_with_ncnn(files: NetworkFiles, inputs: NetworkInput, options: LoaderOptions) -> NetworkRun:
    """Returns the run of a network under ncnn on the processor; float16 where it computes so, for precision float16.

    Raises:
        NetworkRefused: more than one image, or ncnn does not read the files.
    """
    ncnn = import_runtime("ncnn", "ncnn")
    if isinstance(inputs, Mapping):
        raise NetworkRefused(f"ncnn runs networks of one input here, and {len(inputs)} were given")
    if len(inputs) != 1:
        raise NetworkRefused(f"ncnn runs one image at a time, and {len(inputs)} were given")
    net = ncnn.Net()
    net.opt.num_threads = options["threads"]
    net.opt.use_vulkan_compute = False
    half = options["precision"] == "float16"
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = half
    # Through files: when loading from memory it keeps pointers into bytes that Python may free.
    with tempfile.TemporaryDirectory() as folder:
        for suffix, read in (("param", net.load_param), ("bin", net.load_model)):
            path = Path(folder, f"network.{suffix}")
            path.write_bytes(files[suffix])
            if read(str(path)) != 0:
                raise NetworkRefused(f"ncnn does not read the file {suffix}")
    image = ncnn.Mat(inputs[0]).clone()  # without the batch axis, which ncnn does not know
    (given,), outputs = net.input_names(), net.output_names()

    def run_once() -> object:
        extractor = net.create_extractor()
        extractor.input(given, image)
        extracted = [extractor.extract(name) for name in outputs]
        if any(status != 0 for status, _ in extracted):
            raise RuntimeError("ncnn ran out of memory or into a layer that does not fit its input")
        return [np.array(mat)[None] for _, mat in extracted]

    return run_once


# One pool of threads serves the whole process, and ExecuTorch's networks point into the pool they were loaded with.
EXECUTORCH_RUNS: weakref.WeakSet[NetworkRun] = weakref.WeakSet()


def load_with_executorch(files: NetworkFiles, inputs: NetworkInput, options: LoaderOptions) -> NetworkRun:
    """Returns the run of a .pte file under ExecuTorch.

    Raises:
        NetworkRefused: networks are loaded here with another number of threads, which would crash.
    """
    torch = import_runtime("executorch", "torch")
    library = import_runtime("executorch", "executorch.extension.pybindings.portable_lib")
    threads, now = options["threads"], library._threadpool_get_thread_count()
    if threads != now:
        if len(EXECUTORCH_RUNS):
            raise NetworkRefused(f"threads={threads}: ExecuTorch has networks loaded with {now}; take another process")
        library._unsafe_reset_threadpool(threads)
    program = import_runtime("executorch", "executorch.runtime").Runtime.get().load_program(files["pte"])
    arrays = list(inputs.values()) if isinstance(inputs, Mapping) else [inputs]
    given = [torch.from_numpy(array) for array in arrays]

    def run_once() -> object:
        # Through the program, which keeps the method alive: otherwise a method reads freed bytes of the program.
        return [output.numpy() for output in program.load_method("forward").execute(given)]

    EXECUTORCH_RUNS.add(run_once)
    return run_once
