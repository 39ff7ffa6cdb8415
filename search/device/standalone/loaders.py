"""Loaders: the files of a network and an input go in, a function that runs it once comes out.

Only the standard library and NumPy are imported with this file: it is also part of the script that measures on a
device that has neither PyTorch nor this toolkit. The libraries that run networks are imported when they are asked for.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import tempfile
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

NetworkInput = np.ndarray[Any, Any]  # float32 (1, C, H, W), or what a single block takes
NetworkFiles = Mapping[str, bytes]  # by suffix: {"onnx": ...}
LoaderOptions = Mapping[str, Any]  # values of JSON
NetworkRun = Callable[[], object]


class RuntimeMissing(ValueError):
    """A library, or a part of one, that is not on this machine; one line says how to get it."""


class NetworkRefused(ValueError):
    """A network or an option that a library does not take; one line says why."""


@dataclass(frozen=True)
class Loader:
    """How one library says its version and loads a network."""

    module: str  # whose import shows that the library is there; its first part is the package for pip
    suffixes: tuple[str, ...]  # of the files it reads
    precisions: tuple[str, ...]  # the usual one first
    options: Mapping[str, Any]  # besides threads and precision, with their usual values
    load: Callable[[NetworkFiles, NetworkInput, LoaderOptions], NetworkRun]


def load_network(loader: str, files: NetworkFiles, inputs: NetworkInput, options: LoaderOptions) -> NetworkRun:
    """Returns a function that runs the network once on `inputs` and gives its outputs as a list of arrays.

    It has run once when it comes back, so a network that cannot run is refused here.

    Raises:
        RuntimeMissing: the library is not installed, or lacks the part that is asked for.
        NetworkRefused: an unknown loader or option, a file that is missing, or one that the library does not take.
    """
    known, chosen = loader_named(loader), loader_options(loader, options)
    if missing := [suffix for suffix in known.suffixes if suffix not in files]:
        raise NetworkRefused(f"{loader} reads files {', '.join(known.suffixes)}, and {', '.join(missing)} is missing")
    import_runtime(loader, known.module)
    try:
        run = known.load(files, np.ascontiguousarray(inputs), chosen)
        run()
    except (RuntimeMissing, NetworkRefused):
        raise
    except Exception as error:  # the libraries have no common class of errors
        raise NetworkRefused(f"{loader} refuses the network: {line_of_error(error)}") from error
    return run


def describe_loader(loader: str, options: LoaderOptions) -> dict[str, Any]:
    """Returns what decides the speed on this machine: name, version and every option (JSON-able).

    Raises:
        RuntimeMissing: the library is not installed.
        NetworkRefused: an unknown loader or option.
    """
    chosen = loader_options(loader, options)
    module = import_runtime(loader, loader_named(loader).module)
    version = getattr(module, "__version__", None) or importlib.metadata.version(module.__name__.split(".")[0])
    return {"name": loader, "version": str(version), **chosen}


def loader_named(loader: str) -> Loader:
    """Returns the Loader of that name.

    Raises:
        NetworkRefused: there is none.
    """
    if loader not in LOADERS:
        raise NetworkRefused(f"loader={loader!r} is not known; choices: {', '.join(LOADERS)}")
    return LOADERS[loader]


def loader_options(loader: str, options: LoaderOptions) -> dict[str, Any]:
    """Returns every option of a loader, the usual values where `options` says nothing.

    Raises:
        NetworkRefused: an option that it does not have, or a value that it does not take.
    """
    known = loader_named(loader)
    usual = {"threads": 1, "precision": known.precisions[0], **known.options}
    if unknown := [name for name in options if name not in usual]:
        raise NetworkRefused(f"{loader} has no option {unknown[0]!r}; choices: {', '.join(usual)}")
    chosen = {**usual, **options}
    check_thread_count(chosen["threads"])
    if chosen["precision"] not in known.precisions:
        choices = ", ".join(known.precisions)
        raise NetworkRefused(f"{loader} has no precision={chosen['precision']!r}; choices: {choices}")
    return chosen


def check_thread_count(threads: Any) -> None:
    """Refuses what is no number of threads.

    Raises:
        NetworkRefused: it is not a whole number, or less than 1.
    """
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise NetworkRefused(f"threads={threads!r} must be a whole number, at least 1; the nearest is 1")


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


def line_of_error(error: BaseException) -> str:
    """Returns the first line of an error's text that says something."""
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
    given = {session.get_inputs()[0].name: inputs}
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
    # Left alone it computes in 16 bits on processors that can.
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    if device == "CPU":
        settings["INFERENCE_NUM_THREADS"] = str(options["threads"])
    model = core.read_model(files["onnx"])
    model.reshape(list(inputs.shape))  # a batch size that is left free costs time in every run
    request = core.compile_model(model, device, settings).create_infer_request()
    request.set_input_tensor(openvino.Tensor(inputs, shared_memory=True))

    def run_once() -> object:
        return list(request.infer(share_outputs=True).values())

    return run_once


def load_with_ncnn(files: NetworkFiles, inputs: NetworkInput, options: LoaderOptions) -> NetworkRun:
    """Returns the run of a network under ncnn on the processor; float16 where it computes so, for precision float16.

    Raises:
        NetworkRefused: more than one image, or ncnn does not read the files.
    """
    ncnn = import_runtime("ncnn", "ncnn")
    if len(inputs) != 1:
        raise NetworkRefused(f"ncnn runs one image at a time, and {len(inputs)} were given")
    net = ncnn.Net()
    net.opt.num_threads = options["threads"]
    net.opt.use_vulkan_compute = False
    half = options["precision"] == "float16"
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = half
    # By way of files: from memory it keeps pointers into bytes that Python may free.
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
        found = [extractor.extract(name) for name in outputs]
        if any(status != 0 for status, _ in found):
            raise RuntimeError("ncnn ran out of memory or into a layer that does not fit its input")
        return [np.array(mat)[None] for _, mat in found]

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
    given = [torch.from_numpy(inputs)]

    def run_once() -> object:
        # By way of the program, which keeps the method: alone, a method reads bytes of the program that are freed.
        return [output.numpy() for output in program.load_method("forward").execute(given)]

    EXECUTORCH_RUNS.add(run_once)
    return run_once


# In an ONNX file the file decides on the precision, and the option says it.
LOADERS: Mapping[str, Loader] = {
    "onnxruntime": Loader(
        "onnxruntime", ("onnx",), ("float32", "int8"), {"provider": "CPUExecutionProvider"}, load_with_onnxruntime
    ),
    "openvino": Loader("openvino", ("onnx",), ("float32", "int8"), {"device": "CPU"}, load_with_openvino),
    "ncnn": Loader("ncnn", ("param", "bin"), ("float32", "float16"), {}, load_with_ncnn),
    "executorch": Loader("executorch.runtime", ("pte",), ("float32",), {}, load_with_executorch),
}
