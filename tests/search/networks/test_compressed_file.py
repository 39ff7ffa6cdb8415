"""Files of compressed networks: they give the network that was saved, or say in a line why not."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import search
from ofa.arch import Arch
from ofa.compress import choose_ranks, save
from ofa.compress import load as load_tensors
from ofa.errors import InvalidInput
from ofa.identity import digest_of
from ofa.models import LeNet5
from ofa.randomize import randomize_
from ofa.rules import SpaceRules
from ofa.supernet import Supernet
from search.networks.compressed_file import factored, load_compressed, ofaz_card
from search.networks.network_files import plain
from search.run.cards import Rebuild
from search.run.compressed_cards import Factors

MODEL = {"_target_": "ofa.models.LeNet5", "channels": [8, 16], "hidden": [24, 16], "batch_norm": True}
RULES = SpaceRules(width_ratios=(0.5, 1.0), multiple_of=4)
IMAGES = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def full() -> LeNet5:
    torch.manual_seed(0)
    return randomize_(LeNet5((1, 8, 8), 4, channels=(8, 16), hidden=(24, 16), batch_norm=True)).eval()


def rebuild(**changes: Any) -> Rebuild:
    facts = {"model": MODEL, "input_shape": (1, 8, 8), "num_classes": 4}
    return Rebuild(**{**facts, "space_rules": plain(dataclasses.asdict(RULES)), **changes})


def written(path: Path, net: nn.Module, arch: Arch, factors: tuple[Factors, ...] = (), **changes: Any) -> Path:
    tensors = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    save(path, tensors, ofaz_card(rebuild(**changes), arch, factors, digest_of(net)))
    return path


def test_a_narrow_network_of_low_rank_comes_back_bit_by_bit(tmp_path: Path) -> None:
    supernet = Supernet(full(), IMAGES, RULES)
    arch = supernet.space.smallest
    net = supernet.extract(arch)
    factors = Factors(method="svd", ranks=choose_ranks(net, rank=2))
    thin = factored(net, factors).eval()
    assert factors.ranks and sum(p.numel() for p in thin.parameters()) < sum(p.numel() for p in net.parameters())
    path = written(tmp_path / "model.ofaz", thin, arch, (factors,))
    for place in (path, tmp_path):
        read = search.load(place)
        assert digest_of(read) == digest_of(thin) and not read.training
        with torch.no_grad():
            assert torch.equal(read(IMAGES), thin(IMAGES))
    card = load_tensors(path)[1]
    assert "width_ratios" in card["rules"] and "min_depth" not in card["rules"]  # defaults take no bytes


def test_a_model_of_ones_own_is_given(tmp_path: Path) -> None:
    path = written(tmp_path / "own.ofaz", full(), Arch(), model=None)
    with pytest.raises(InvalidInput, match="give the full model"):
        load_compressed(path)
    torch.manual_seed(1)
    other = LeNet5((1, 8, 8), 4, channels=(8, 16), hidden=(24, 16), batch_norm=True)
    assert digest_of(load_compressed(path, model=other)) == digest_of(full()) != digest_of(other)
    with pytest.raises(InvalidInput, match="is of another model"):
        load_compressed(path, model=LeNet5((1, 8, 8), 4, channels=(8, 16), hidden=(24, 8), batch_norm=True))
    with pytest.raises(InvalidInput, match="is of another model"):
        load_compressed(path, model=nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": {"_target_": "os.system", "command": "true"}}, "os.system"),
        ({"model": {"_target_": "my_package.Net"}}, "my_package"),
        ({"model": {"_target_": "ofa.models.LeNet5", "chanels": [1]}}, "cannot be built"),
        ({"arch": {"width": {"conv1": 3}}}, "of another model or other rules"),
        ({"arch": {"widths": {}}}, "not a kind of choice"),
        ({"rules": {"sizes": 3}, "arch": {"width": {"conv1": 4}}}, "its rules must be among"),
        ({"factors": [{"method": "svd", "ranks": {"conv9": [1]}}]}, "conv9"),
        ({"factors": [{"method": "svd", "ranks": {"conv1": [0]}}]}, "holds no network"),
        ({"digest": "00"}, "not those that were saved"),
        ({"classes": -1}, "holds no network"),
        ({"shape": [1, 8, 10**9], "arch": {"width": {"conv1": 4}}}, "ofaz"),
    ],
)
def test_a_wrong_card_ends_in_one_line(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    net = full()
    card = ofaz_card(rebuild(), Arch(), (), digest_of(net))
    save(tmp_path / "model.ofaz", net.state_dict(), {**card, **change})
    with pytest.raises(InvalidInput, match=words) as refused:
        search.load(tmp_path / "model.ofaz")
    assert "\n" not in str(refused.value)


def test_a_damaged_or_missing_file_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "model.ofaz", full(), Arch())
    content = path.read_bytes()
    for cut in (0, 3, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(InvalidInput, match=r"model\.ofaz"):
            search.load(path)
    path.unlink()
    with pytest.raises(InvalidInput, match=r"model\.ofaz does not exist"):
        search.load(path)
