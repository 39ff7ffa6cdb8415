"""Extracted folders: complete, checked, runnable without this toolkit, and loadable again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import ofa
from ofa.arch import Arch
from ofa.calibrate import calibrate
from ofa.errors import InvalidArch, InvalidInput
from ofa.models.lenet import LeNet5
from search.export import onnx_bytes
from search.extract import extract_subnet
from search.rebuild import load
from search.subnet_folder import SubnetFolder

CONFIG = {
    "_target_": "ofa.models.LeNet5",
    "input_shape": [1, 8, 8],
    "num_classes": 10,
    "channels": [16, 32],
    "hidden": [64, 32],
    "batch_norm": True,
}
SNIPPET = """
import numpy, onnxruntime
session = onnxruntime.InferenceSession("model.onnx")
data = numpy.load("verify.npz")
(logits,) = session.run(["logits"], {"input": data["input"]})
print(abs(logits - data["logits"]).max())
"""


@pytest.fixture(scope="module")
def supernet() -> ofa.Supernet:
    torch.manual_seed(0)
    model = LeNet5(**{key: value for key, value in CONFIG.items() if key != "_target_"})
    return ofa.Supernet(model, torch.randn(2, 1, 8, 8), ofa.SpaceRules(width_ratios=(0.5, 1.0)))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def extracted(supernet: ofa.Supernet, folder: Path, images: torch.Tensor, arch: Arch | None = None, **given):
    options = {
        "calibration_images": images,
        "verify_images": images[16:],
        "facts": {"device": "bench", "limit_ms": 0.2, "accuracy": {"test": 0.98}},
        "model_config": CONFIG,
        "space_rules": supernet.rules,
    }
    return extract_subnet(supernet, arch or supernet.space.smallest, folder, **{**options, **given})


def test_the_folder_is_complete_and_says_what_is_in_it(tmp_path: Path, supernet, images):
    card = extracted(supernet, tmp_path / "net", images)
    files = SubnetFolder(tmp_path / "net")
    assert sorted(path.name for path in (tmp_path / "net").iterdir()) == sorted(path.name for path in files.files)
    assert json.loads(files.card.read_text()) == card
    assert Arch.from_json(files.arch.read_text()) == supernet.space.smallest
    costs = ofa.cost(supernet, [supernet.space.smallest])
    assert (card["macs"], card["params"]) == (costs["macs"][0], costs["params"][0])
    assert (card["device"], card["supernet"], card["input_shape"]) == ("bench", supernet.digest, [1, 8, 8])
    assert 0 <= card["onnx"]["max_relative_difference"] < 1e-5
    with np.load(files.verify) as data:
        assert {name: (data[name].shape, str(data[name].dtype)) for name in data} == {
            "input": ((8, 1, 8, 8), "float32"),
            "logits": ((8, 10), "float32"),
        }


def test_weights_are_the_calibrated_plain_networks(tmp_path: Path, supernet, images):
    extracted(supernet, tmp_path / "net", images)
    expected = calibrate(supernet.extract(supernet.space.smallest), images).state_dict()
    found = load_file(tmp_path / "net" / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_it_runs_with_onnxruntime_and_numpy_alone(tmp_path: Path, supernet, images):
    extracted(supernet, tmp_path / "net", images)
    run = subprocess.run(
        [sys.executable, "-I", "-c", SNIPPET + "import sys; assert not {'torch', 'ofa', 'search'} & set(sys.modules)"],
        cwd=tmp_path / "net",
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 1e-4


def test_it_loads_again_as_a_plain_network(tmp_path: Path, supernet, images):
    arch = supernet.space.sample(np.random.default_rng(3))
    extracted(supernet, tmp_path / "net", images, arch)
    expected = calibrate(supernet.extract(arch), images)
    for net in (load(tmp_path / "net"), load(tmp_path / "net", model=LeNet5((1, 8, 8), 10, (16, 32), (64, 32), True))):
        assert type(net) is LeNet5 and not net.training
        with torch.no_grad():
            assert torch.equal(net(images), expected(images))


def test_a_failure_leaves_the_folder_before(tmp_path: Path, supernet, images, monkeypatch):
    extracted(supernet, tmp_path / "net", images)
    before = {path.name: path.read_bytes() for path in (tmp_path / "net").iterdir()}
    other = supernet.extract(supernet.space.smallest).eval()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.1)
    monkeypatch.setattr("search.extract.onnx_bytes", lambda net, example: onnx_bytes(other, example))
    with pytest.raises(InvalidInput, match="the ONNX file is off by"):
        extracted(supernet, tmp_path / "net", images)
    assert {path.name: path.read_bytes() for path in (tmp_path / "net").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"facts": {"macs": 1}}, "facts may not give macs"),
        ({"facts": {"when": object()}}, "facts are not JSON"),
        ({"facts": {"limit_ms": float("nan")}}, "facts are not JSON"),
        ({"verify_images": torch.zeros(0, 1, 8, 8)}, "verify_images has 0"),
        ({"verify_images": torch.full((8, 1, 8, 8), float("nan"))}, "NaN"),
        ({"arch": Arch(width={"nothing": 8})}, "nothing"),
    ],
)
def test_what_cannot_be_extracted_is_refused_and_leaves_nothing(tmp_path: Path, supernet, images, given, named):
    with pytest.raises(InvalidInput, match=named):
        extracted(supernet, tmp_path / "net", images, **given)
    assert list(tmp_path.iterdir()) == []


def test_an_arch_that_is_not_canonical_is_refused(tmp_path: Path, supernet, images):
    with pytest.raises(InvalidArch):
        extracted(supernet, tmp_path / "net", images, Arch())


def _card(folder: Path, **rebuild) -> None:
    card = json.loads((folder / "card.json").read_text())
    card["rebuild"].update(rebuild)
    (folder / "card.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("target", "named"),
    [
        ("os.system", "not of ofa.models"),
        ("ofa.models.lenet.nn.Linear", "not of ofa.models"),
        ("ofa.models.lenet.LeNet6", "does not exist"),
        ("ofa.paths.write_atomic", "not of ofa.models"),
    ],
)
def test_a_card_builds_nothing_but_the_toolkits_models(tmp_path: Path, supernet, images, target, named):
    extracted(supernet, tmp_path / "net", images)
    _card(tmp_path / "net", model={**CONFIG, "_target_": target})
    with pytest.raises(InvalidInput, match=named):
        load(tmp_path / "net")
    _card(tmp_path / "net", model={**CONFIG, "channels": {"_target_": target}})
    with pytest.raises(InvalidInput, match=named):
        load(tmp_path / "net")


def test_damaged_and_foreign_folders_are_named(tmp_path: Path, supernet, images):
    folder = tmp_path / "net"
    with pytest.raises(InvalidInput, match="not a subnet's folder"):
        load(folder)
    extracted(supernet, folder, images)
    with pytest.raises(InvalidInput, match=r"arch\.json is of another model"):
        load(folder, model=LeNet5((1, 8, 8), 10, (16, 48), (64, 32), True))
    with pytest.raises(InvalidInput, match=r"model\.safetensors is of another model"):
        load(folder, model=LeNet5((1, 8, 8), 12, (16, 32), (64, 32), True))
    with pytest.raises(InvalidInput, match=r"model\.safetensors is of another model"):
        load(folder, model=LeNet5((1, 8, 8), 10, (16, 32), (64, 32), False))
    _card(folder, model=None)
    with pytest.raises(InvalidInput, match="has no model config"):
        load(folder)
    whole = (folder / "verify.npz").read_bytes()
    (folder / "verify.npz").write_bytes(whole[:100])
    with pytest.raises(InvalidInput, match=r"verify\.npz is damaged"):
        load(folder)
    np.savez(folder / "verify.npz", input=images[:8].numpy(), logits=np.zeros((8, 10), np.float32))
    with pytest.raises(InvalidInput, match=r"off verify\.npz's"):
        load(folder, model=LeNet5((1, 8, 8), 10, (16, 32), (64, 32), True))
    (folder / "model.safetensors").write_bytes(b"short")
    with pytest.raises(InvalidInput, match=r"model\.safetensors"):
        load(folder)
