"""What runtimes refuse, in one line: arguments, libraries that are not there, networks they cannot take."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ofa.errors import InvalidInput
from search.device.runtime import RUNTIMES, make_runtime
from search.device.runtimes import ExecuTorch, Ncnn, OnnxRuntime, OpenVino, TorchCompile, TorchCuda, TorchEager

LAYER, VECTOR = nn.Linear(4, 2), torch.ones(1, 4)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "ncnn", "eager", "compile"])
@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2"])
def test_threads_are_whole_numbers_from_one(name, threads):
    if name in ("openvino", "ncnn"):
        pytest.importorskip(name)
    with pytest.raises(InvalidInput, match=r"threads=.* must be a whole number, at least 1; the nearest is 1$"):
        make_runtime({"_target_": RUNTIMES[name], "threads": threads})


@pytest.mark.parametrize(
    ("name", "arguments", "named"),
    [
        ("onnxruntime", {"precision": "int4"}, "no precision='int4'; choices: float32, int8"),
        ("openvino", {"precision": "float16"}, "no precision='float16'; choices: float32, int8"),
        ("ncnn", {"precision": "int8"}, "no precision='int8'; choices: float32, float16"),
        ("eager", {"device": "tpu"}, "device='tpu' is none that torch sees; choices: cpu"),
        ("compile", {"backend": "inducto"}, "did you mean inductor"),
        ("compile", {"mode": "max"}, "mode='max' is none of torch.compile"),
        ("compile", {"mode": "max-autotune", "backend": "eager"}, "is of the backend inductor, not of eager"),
        ("cuda", {"precision": "float8"}, "precision='float8' is unknown; did you mean float32, float16"),
        ("cuda", {"channels_last": "no"}, "channels_last='no' must be true or false"),
    ],
)
def test_arguments_are_refused_with_what_there_is(name, arguments, named):
    if name in ("openvino", "ncnn"):
        pytest.importorskip(name)
    with pytest.raises(InvalidInput, match=named) as error:
        make_runtime({"_target_": RUNTIMES[name], **arguments})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "module", "named"),
    [
        ("onnxruntime", "onnxruntime", "runtime onnxruntime is not installed: pip install onnxruntime$"),
        ("openvino", "openvino", r"pip install openvino, or ofa-search\[openvino\]$"),
        ("ncnn", "ncnn", r"pip install ncnn, or ofa-search\[ncnn\]$"),
        ("ncnn", "pnnx", r"pip install pnnx, or ofa-search\[ncnn\]$"),
        ("executorch", "executorch", r"pip install executorch, or ofa-search\[executorch\]$"),
    ],
)
def test_a_library_that_is_not_installed_is_named_with_its_extra(name, module, named, monkeypatch):
    if module == "pnnx":
        pytest.importorskip("ncnn")
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "executorch.runtime", raising=False)
    with pytest.raises(InvalidInput, match=named):
        make_runtime(name)


@pytest.mark.parametrize("name", ["cuda", "cuda_graph"])
def test_cuda_needs_a_gpu(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InvalidInput, match=f"^runtime {name} needs a CUDA GPU, and torch sees none$"):
        make_runtime(name)


def test_only_devices_that_are_there_are_taken(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert TorchCuda(device="cuda:1").device == torch.device("cuda", 1)
    with pytest.raises(InvalidInput, match="device='cuda:2' is none that torch sees; did you mean cuda"):
        TorchCuda(device="cuda:2")


def test_a_provider_that_the_build_lacks_is_refused_with_those_it_has():
    with pytest.raises(InvalidInput, match=r"no provider 'NoSuchProvider'; it has .*CPUExecutionProvider"):
        OnnxRuntime(provider="NoSuchProvider").load(LAYER, VECTOR)


def test_a_provider_that_falls_back_to_the_processor_is_refused(monkeypatch):
    session = SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])
    library = SimpleNamespace(
        __version__="1",
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
        SessionOptions=SimpleNamespace,
        InferenceSession=lambda *_, **__: session,
    )
    runtime = OnnxRuntime(provider="CUDAExecutionProvider")
    monkeypatch.setitem(sys.modules, "onnxruntime", library)
    with pytest.raises(InvalidInput, match="CUDAExecutionProvider does not start here"):
        runtime.load(LAYER, VECTOR)


def test_openvino_names_the_devices_it_sees():
    pytest.importorskip("openvino")
    with pytest.raises(InvalidInput, match=r"OpenVINO sees no device 'TPU'; it sees .*CPU"):
        OpenVino(device="TPU").load(LAYER, VECTOR)


def test_ncnn_takes_one_image_at_a_time():
    pytest.importorskip("ncnn")
    with pytest.raises(InvalidInput, match="one image at a time, and 2 were given"):
        Ncnn().load(LAYER, torch.ones(2, 4))


def test_what_pnnx_cannot_do_is_refused_in_one_line(monkeypatch):
    pytest.importorskip("ncnn")
    runtime = Ncnn()
    runtime._converter = "/no/such/program"
    with pytest.raises(
        InvalidInput, match=r"Linear cannot be converted for ncnn; pnnx said: .*no/such/program"
    ) as error:
        runtime.load(LAYER, VECTOR)
    assert "\n" not in str(error.value)


def test_executorch_has_one_number_of_threads_at_a_time():
    pytest.importorskip("executorch")
    gc.collect()  # runs of other tests
    run = ExecuTorch(threads=2).load(LAYER, VECTOR)
    with pytest.raises(InvalidInput, match="threads=1: ExecuTorch has networks loaded with 2; take another process"):
        ExecuTorch(threads=1).load(LAYER, VECTOR)
    assert len(run()) == 1
    del run
    assert len(ExecuTorch(threads=1).load(LAYER, VECTOR)()) == 1


@pytest.mark.parametrize("runtime", [TorchEager, TorchCompile])
def test_accelerators_are_asked_of_torch(runtime, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("mps"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)
    assert runtime(device="mps").describe()["device"] == "mps"


@pytest.mark.slow
def test_compiling_without_a_compiler_says_what_is_needed(tmp_path):
    program = (
        "import torch\n"
        "from search.device.runtimes import TorchCompile\n"
        "net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Hardswish())\n"
        "try:\n"
        "    TorchCompile().load(net, torch.ones(1, 4))\n"
        "except ValueError as error:\n"
        "    print(error)\n"
    )
    environment = {**os.environ, "CXX": "/no/compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.splitlines() == [
        "torch.compile needs a C++ compiler, and there is none: install g++ or clang, or name one in CXX"
    ], done.stderr
