"""Extracted folders: complete, checked, runnable without this toolkit, and loadable again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import ofa
from ofa._calibrate import calibrate
from ofa.arch import Arch
from ofa.errors import InvalidArch, InvalidInput
from ofa.models.lenet import LeNet5
from ofa.records import read_record
from search.device.export import onnx_bytes
from search.networks.folder import SubnetFolder
from search.networks.network_files import file_digest
from search.networks.rebuild import load
from search.run.cards import SubnetCard, SubnetFacts
from search.subnets.extract import extract_subnet
from tests.record_files import rewrite
from tests.search.scored import scores_of

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
        "facts": SubnetFacts(device="bench", limit_ms=0.2, scores=scores_of(0.97, 0.98)),
        "model_config": CONFIG,
        "space_rules": supernet.rules,
    }
    return extract_subnet(supernet, arch or supernet.space.smallest, folder, **{**options, **given})


def test_the_folder_is_complete_and_says_what_is_in_it(tmp_path: Path, supernet, images):
    card = extracted(supernet, tmp_path / "net", images)
    files = SubnetFolder(tmp_path / "net")
    assert sorted(path.name for path in (tmp_path / "net").iterdir()) == sorted(path.name for path in files.files)
    assert read_record(files.card, SubnetCard) == card
    assert Arch.from_json(files.arch.read_text()) == supernet.space.smallest
    costs = ofa.cost(supernet, [supernet.space.smallest])
    assert (card.macs, card.params) == (costs["macs"][0], costs["params"][0])
    assert (card.device, card.supernet, card.input_shape) == ("bench", supernet.digest, (1, 8, 8))
    assert card.onnx.max_relative_difference is not None and 0 <= card.onnx.max_relative_difference < 1e-5
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
    monkeypatch.setattr(
        "search.networks.network_files.onnx_bytes", lambda net, example, opset: onnx_bytes(other, example)
    )
    with pytest.raises(InvalidInput, match="the ONNX file is off by"):
        extracted(supernet, tmp_path / "net", images)
    assert {path.name: path.read_bytes() for path in (tmp_path / "net").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"facts": SubnetFacts(trial=-1)}, "facts: expected `int` >= 0 at `trial`"),
        ({"facts": SubnetFacts(limit_ms=float("nan"))}, "facts: expected `float` > 0.0 at `limit_ms`"),
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
    rewrite(folder / "card.json", lambda card: card["rebuild"].update(rebuild))


@pytest.mark.parametrize(
    ("target", "named"),
    [
        ("os.system", "not of this toolkit"),
        ("ofa.models.lenet.nn.Module.apply", "not of this toolkit"),
        ("ofa.models.lenet.LeNet6", "cannot be imported"),
        ("ofa.paths.write_atomic", "not of this toolkit"),
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


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("input_shape", [1, 10**6, 10**6], r"input_shape=\[1, 1000000, 1000000\], but verify\.npz is of \[1, 8, 8\]"),
        ("num_classes", 10**12, "expected `int` <= 2147483648 at `rebuild.num_classes`"),
        ("num_classes", "ten", "expected `int | null`, got `str` at `rebuild.num_classes`"),
    ],
)
def test_sizes_of_a_card_are_those_of_the_inputs(tmp_path: Path, supernet, images, name, value, named):
    extracted(supernet, tmp_path / "net", images)
    _card(tmp_path / "net", **{name: value})
    with pytest.raises(InvalidInput, match=named):
        load(tmp_path / "net")


def test_a_card_without_a_model_takes_the_users(tmp_path: Path, supernet, images):
    extracted(supernet, tmp_path / "net", images)
    _card(tmp_path / "net", model=None)
    load(tmp_path / "net", model=LeNet5((1, 8, 8), 10, (16, 32), (64, 32), True))


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
    with pytest.raises(InvalidInput, match=r"verify\.npz is not the file that card\.json lists"):
        load(folder)
    _list_files(folder)
    with pytest.raises(InvalidInput, match=r"verify\.npz is damaged"):
        load(folder)
    np.savez(folder / "verify.npz", input=images[:8].numpy(), logits=np.zeros((8, 10), np.float32))
    _list_files(folder)
    with pytest.raises(InvalidInput, match=r"off verify\.npz's"):
        load(folder, model=LeNet5((1, 8, 8), 10, (16, 32), (64, 32), True))
    (folder / "model.safetensors").write_bytes(b"short")
    _list_files(folder)
    with pytest.raises(InvalidInput, match=r"model\.safetensors"):
        load(folder)


def _list_files(folder: Path) -> None:
    """Makes the card list the files as they are now."""
    digests = {path.name: file_digest(path) for path in folder.iterdir() if path.name != "card.json"}
    rewrite(folder / "card.json", lambda card: card.update(files=digests))


@pytest.mark.parametrize("name", ["model.safetensors", "model.onnx", "network.py", "arch.json", "verify.npz"])
def test_a_file_that_was_edited_is_named(tmp_path: Path, supernet, images, name):
    extracted(supernet, tmp_path / "net", images)
    path = tmp_path / "net" / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(InvalidInput, match=rf"{name} is not the file that card\.json lists"):
        load(tmp_path / "net")


def test_code_in_a_folder_is_not_run(tmp_path: Path, supernet, images):
    extracted(supernet, tmp_path / "net", images)
    (tmp_path / "net/network.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    _list_files(tmp_path / "net")
    load(tmp_path / "net")
    assert not (tmp_path / "ran").exists()
