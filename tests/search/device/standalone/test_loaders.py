"""Loaders: alone on a device, and what they refuse."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from search.device.export import onnx_bytes
from search.device.remote.bundle import PACKAGE, merge
from search.device.standalone import libraries, loaders
from search.device.standalone.libraries import NetworkRefused, RuntimeMissing
from search.device.standalone.loaders import LOADERS, describe_loader, load_network, loader_options

FILES = [Path(libraries.__file__), Path(loaders.__file__)]  # in the order of the script
VECTOR = np.ones((1, 4), dtype=np.float32)


@pytest.fixture(scope="module")
def model() -> bytes:
    return onnx_bytes(nn.Linear(4, 2), torch.ones(1, 4))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_standard_library_and_numpy_are_all_it_imports(file):
    tops = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            tops |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not str(node.module).startswith(f"{PACKAGE}."):
            tops.add("." * node.level + str(node.module).split(".")[0])
    assert tops - set(sys.stdlib_module_names) == {"numpy"}


def test_it_runs_where_neither_pytorch_nor_the_toolkit_is(model, tmp_path):
    (tmp_path / "model.onnx").write_bytes(model)
    (tmp_path / "loaders.py").write_text(merge([file.read_text() for file in FILES]))
    program = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['torch', 'ofa', 'search', 'hydra', 'onnx']))\n"
        "import numpy, loaders\n"
        "files = {'onnx': open('model.onnx', 'rb').read()}\n"
        "run = loaders.load_network('onnxruntime', files, numpy.ones((1, 4), numpy.float32), {})\n"
        "print(run()[0].shape, loaders.describe_loader('onnxruntime', {})['threads'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout.strip() == "(1, 2) 1", done.stderr


@pytest.mark.parametrize("loader", LOADERS)
def test_a_description_has_every_option(loader):
    try:
        found = describe_loader(loader, {"threads": 2})
    except RuntimeMissing as error:
        pytest.skip(str(error))
    assert found == {"name": loader, "version": found["version"], **loader_options(loader, {}), "threads": 2}


@pytest.mark.parametrize(
    ("loader", "options", "named"),
    [
        ("tflite", {}, "loader='tflite' is not known; choices: onnxruntime, openvino, ncnn, executorch"),
        ("onnxruntime", {"thread": 1}, "no option 'thread'; choices: threads, precision, provider"),
        ("onnxruntime", {"threads": 0}, "threads=0 must be a whole number"),
        ("ncnn", {"precision": "int8"}, "choices: float32, float16"),
        ("ncnn", {"provider": "CPUExecutionProvider"}, "ncnn has no option 'provider'"),
    ],
)
def test_unknown_loaders_and_options_are_refused(loader, options, named):
    with pytest.raises(NetworkRefused, match=named):
        load_network(loader, {"onnx": b"", "param": b"", "bin": b""}, VECTOR, options)
    with pytest.raises(NetworkRefused, match=named):
        describe_loader(loader, options)


def test_a_file_that_is_missing_is_named():
    with pytest.raises(NetworkRefused, match="ncnn reads files param, bin, and bin is missing"):
        load_network("ncnn", {"param": b""}, VECTOR, {})


@pytest.mark.parametrize("loader", LOADERS)
def test_a_damaged_file_is_refused_in_one_line(loader, capfd):
    files = dict.fromkeys(LOADERS[loader].suffixes, b"no network" * 20)
    try:
        describe_loader(loader, {})
    except RuntimeMissing as error:
        pytest.skip(str(error))
    with pytest.raises(NetworkRefused, match=loader) as error:
        load_network(loader, files, VECTOR, {})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("loader", ["onnxruntime", "openvino"])
def test_an_input_of_another_shape_is_refused_when_it_is_loaded(loader, model):
    pytest.importorskip(loader)
    with pytest.raises(NetworkRefused, match=f"{loader} refuses the network: ") as error:
        load_network(loader, {"onnx": model}, np.ones((1, 5), dtype=np.float32), {})
    assert "\n" not in str(error.value)


def test_an_installed_library_that_does_not_import_is_told_from_a_missing_one(tmp_path, monkeypatch):
    (tmp_path / "openvino.py").write_text("raise ImportError('libtbb.so: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "openvino"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(RuntimeMissing, match=r"openvino is installed and cannot be imported: libtbb\.so"):
        describe_loader("openvino", {})
    sys.modules.pop("openvino", None)
