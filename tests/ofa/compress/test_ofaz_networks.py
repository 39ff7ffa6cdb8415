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
