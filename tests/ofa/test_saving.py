"""A saved supernet comes back with the same bits, and nothing else comes back in its place."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor, nn

import ofa
from ofa.errors import InvalidInput
from ofa.randomize import randomize_
from tests.ofa import nets, zoo

NAMES = ["resnet20_pad", "lenet5"]


def fresh(name: str) -> nn.Module:
    torch.manual_seed(1)
    return nets.SHIPPED[name]().double().eval()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("saved")


@cache
def both_ways(name: str, folder: Path) -> tuple[ofa.Supernet, ofa.Supernet, Tensor]:
    supernet, images = nets.shipped(name)
    ofa.save(supernet, folder / name)
    return supernet, ofa.load(folder / name, fresh(name)), images


@pytest.mark.parametrize("name", NAMES)
@hypothesis_settings(max_examples=8)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_subnet_computes_the_same_bits(name: str, folders: Path, seed: int) -> None:
    before, after, images = both_ways(name, folders)
    arch = before.space.sample(np.random.default_rng(seed))
    for make in (ofa.Supernet.subnet, ofa.Supernet.extract):
        assert torch.equal(make(before, arch)(images), make(after, arch)(images))


@pytest.mark.parametrize("name", NAMES)
def test_everything_of_the_supernet_comes_back(name: str, folders: Path) -> None:
    before, after, _ = both_ways(name, folders)
    assert after.digest == before.digest and after.space == before.space
    assert json.dumps(vars(after.rules)) == json.dumps(vars(before.rules))
    assert after.example_input.shape == before.example_input.shape
    assert {
        name for name, tensor in before.tensors().items() if not torch.equal(tensor, after.tensors()[name])
    } == set()


@pytest.mark.parametrize("name", sorted({**zoo.PLAIN, **zoo.AWKWARD}))
def test_models_of_the_zoo_come_back(name: str, tmp_path: Path) -> None:
    supernet, images = nets.from_zoo(name)
    ofa.save(supernet, tmp_path)
    torch.manual_seed(7)
    network = {**zoo.PLAIN, **zoo.AWKWARD}[name]().double().eval()
    arch = supernet.space.sample(np.random.default_rng(0))
    assert torch.equal(ofa.load(tmp_path, network).subnet(arch)(images), supernet.subnet(arch)(images))


class Pair(nn.Module):
    def __init__(self, width: int = 16, crossed: bool = False, second: str = "second") -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.add_module(second, nn.Conv2d(width, width, 3, padding=1))
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Linear(width, 4)
        self.crossed, self.second_name = crossed, second

    def forward(self, images: Tensor) -> Tensor:
        x = torch.relu(self.stem(images))
        y = torch.relu(self.first(x))
        y = self.get_submodule(self.second_name)(x if self.crossed else y)
        return self.head(self.norm(y if not self.crossed else y + self.first(x)).mean((2, 3)))


def pair(**arguments: object) -> nn.Module:
    return randomize_(Pair(**arguments)).eval()  # type: ignore[arg-type]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return ofa.save(ofa.Supernet(pair(), torch.randn(2, 1, 8, 8)), tmp_path / "saved")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            {"width": 24},
            r"stem\.weight is float32 \(16, 1, 3, 3\) in the folder and float32 \(24, 1, 3, 3\) in the network",
        ),
        ({"second": "third"}, r"third\.weight is missing in the folder and float32 .* and 1 more"),
        ({"crossed": True}, r"width\.\w+ is .* in the folder"),
    ],
)
def test_another_network_is_refused_by_what_differs(saved: Path, other: dict[str, object], said: str) -> None:
    network = pair(**other)
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(InvalidInput, match=said):
        ofa.load(saved, network)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_another_type_of_number_is_refused(saved: Path) -> None:
    with pytest.raises(InvalidInput, match=r"stem\.weight is float32 \(.*\) in the folder and float64"):
        ofa.load(saved, pair().double())


def test_the_class_has_to_be_given(saved: Path) -> None:
    with pytest.raises(InvalidInput, match=r"holds the weights of a Pair, not its class.*ofa\.load\(folder, Pair"):
        ofa.load(saved)


def test_a_network_is_no_supernet(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"a Pair is not a Supernet: save ofa\.Supernet\(network, example_input\)"):
        ofa.save(pair(), tmp_path / "saved")  # type: ignore[arg-type]
    assert not (tmp_path / "saved").exists()


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InvalidInput, match="holds other files"):
        ofa.save(ofa.Supernet(pair(), torch.randn(2, 1, 8, 8)), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_saving_again_takes_the_place_of_the_one_before(saved: Path) -> None:
    later = ofa.Supernet(randomize_(Pair(), seed=5).eval(), torch.randn(2, 1, 8, 8))
    ofa.save(later, saved)
    assert ofa.load(saved, pair()).digest == later.digest
    assert len(list(saved.iterdir())) == 2


def test_a_save_that_was_cut_off_leaves_the_one_before(saved: Path, tmp_path: Path) -> None:
    digest = ofa.load(saved, pair()).digest
    later = ofa.Supernet(randomize_(Pair(), seed=5).eval(), torch.randn(2, 1, 8, 8))
    (weights,) = ofa.save(later, tmp_path / "later").glob("weights-*")
    weights.rename(saved / weights.name)  # all that a kill before the record leaves
    assert ofa.load(saved, pair()).digest == digest
    ofa.save(later, saved)
    assert len(list(saved.iterdir())) == 2


def test_damaged_and_exchanged_files_are_refused(saved: Path, tmp_path: Path) -> None:
    (weights,) = saved.glob("weights-*")
    sound = weights.read_bytes()
    weights.write_bytes(sound[:-8] + bytes(8))
    with pytest.raises(InvalidInput, match="checksum"):
        ofa.load(saved, pair())
    other = ofa.save(ofa.Supernet(randomize_(Pair(), seed=5), torch.randn(2, 1, 8, 8)), tmp_path / "other")
    weights.write_bytes(next(other.glob("weights-*")).read_bytes())
    with pytest.raises(InvalidInput, match=r"holds other weights than supernet\.json says"):
        ofa.load(saved, pair())
    weights.unlink()
    with pytest.raises(InvalidInput, match="does not exist"):
        ofa.load(saved, pair())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("weights", "../weights.safetensors"),
        ("example", {"args": [{"tensor": [2**20, 2**20], "type": "float32"}], "kwargs": {}}),
        ("example", {"args": [{"tensor": [2, 2], "type": "object"}], "kwargs": {}}),
        ("example", {"args": [{"tensor": [2, 2], "type": "int64", "values": "eJwDAAAAAAE="}], "kwargs": {}}),
        ("example", {"args": [], "kwargs": {}}),
        ("example", {}),
        ("rules", {"call": "os.system"}),
        ("rules", {"multiple_of": -1}),
    ],
)
def test_hostile_records_are_refused(saved: Path, key: str, value: object) -> None:
    path = saved / "supernet.json"
    content = {**json.loads(path.read_text()), key: value}
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidInput, match="edited"):
        ofa.load(saved, pair())
    from ofa.records import checksum_of

    content["checksum"] = checksum_of({name: inner for name, inner in content.items() if name != "checksum"})
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidInput, match=r"supernet\.json"):
        ofa.load(saved, pair())
