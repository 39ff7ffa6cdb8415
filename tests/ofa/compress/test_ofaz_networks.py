"""Files of whole networks: a supernet with its Archs in one file, and what was extracted or made slim, bit by bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import ofa
from ofa.arch import Arch
from ofa.compress import load, save
from ofa.models import LeNet5
from ofa.randomize import randomize_


def test_a_supernet_and_several_archs_in_one_file_give_the_same_subnets(tmp_path: Path) -> None:
    torch.manual_seed(0)
    rules, images = ofa.SpaceRules(width_ratios=(0.5, 1.0)), torch.randn(3, 1, 8, 8)
    net = randomize_(LeNet5((1, 8, 8), 4, channels=(8, 12), hidden=(20, 12), batch_norm=True), 0)
    supernet = ofa.Supernet(net, images, rules)
    random = np.random.default_rng(0)
    archs = [supernet.space.smallest, *(supernet.space.sample(random) for _ in range(3))]
    path = tmp_path / "supernet.ofaz"
    save(path, supernet.model.state_dict(), {"archs": [arch.to_dict() for arch in archs]})
    tensors, card = load(path)
    again = LeNet5((1, 8, 8), 4, channels=(8, 12), hidden=(20, 12), batch_norm=True)
    again.load_state_dict(tensors)
    rebuilt = ofa.Supernet(again, images, rules)
    for stored, arch in zip(card["archs"], archs, strict=True):
        assert Arch.from_dict(stored) == arch
        ours, theirs = supernet.extract(arch).eval(), rebuilt.extract(Arch.from_dict(stored)).eval()
        assert torch.equal(ours(images), theirs(images))
        alone = tmp_path / f"{arch.digest}.ofaz"
        save(alone, ours.state_dict(), {})
        found, _ = load(alone)
        assert all(torch.equal(tensor, found[name]) for name, tensor in ours.state_dict().items())
        assert alone.stat().st_size <= path.stat().st_size


def test_vectors_of_few_values_share_a_table_beside_sparse_matrices(tmp_path: Path) -> None:
    """Scales and shifts of a network that was shared, and its constants, take no table each."""
    generator = torch.Generator().manual_seed(0)
    values, few = torch.randn(40, generator=generator), torch.randn(8, generator=generator)
    tensors = {f"scale{place}": values[torch.randint(0, 40, (16,), generator=generator)] for place in range(20)}
    kept = torch.rand(30, 64, generator=generator) < 0.1
    tensors["kernel"] = torch.where(kept, few[torch.randint(0, 8, (30, 64), generator=generator)], 0.0)
    tensors |= {f"mean{place}": torch.zeros(16) for place in range(20)}
    sizes = save(tmp_path / "a.ofaz", tensors, {})
    assert sizes.tensors["kernel"].how == "matrix, 8 levels"
    scales = [size for name, size in sizes.tensors.items() if name.startswith("scale")]
    assert {size.how for size in scales} == {"levels, with others"}
    assert sum(size.values + size.tables for size in scales) < 320 + 40 * 4
    assert sum(size.tables for name, size in sizes.tensors.items() if name.startswith("mean")) <= 4
    found, _ = load(tmp_path / "a.ofaz")
    assert all(torch.equal(tensor, found[name]) for name, tensor in tensors.items())
