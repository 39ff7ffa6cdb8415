"""Models on the meta device: converted by their structure, given weights later, or refused with the way out."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ofa
from ofa.errors import InvalidInput
from ofa.models import ResNet, ViT
from ofa.randomize import randomize_
from ofa.structure.materialized import materialized_, on_meta
from tests.ofa.computed_models import Plain

SHAPE = (3, 16, 16)
RULES = ofa.SpaceRules(multiple_of=1)
IMAGES = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet": lambda: ResNet(SHAPE, 5, depth=8),
    "kernels": Plain,
    "vit": lambda: ViT(SHAPE, 5, patch=4),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_model_without_weights_has_the_space_of_one_with_them(name: str) -> None:
    with torch.device("meta"):
        empty = NETWORKS[name]()
    kernels = {"kernel_sizes": {"body": (1, 3)}, "kernel_transforms": True} if name == "kernels" else {}
    rules = ofa.SpaceRules(multiple_of=1, **kernels)  # type: ignore[arg-type]
    supernet = ofa.Supernet(empty.eval(), IMAGES, rules)
    full = randomize_(NETWORKS[name]().eval())
    filled = ofa.Supernet(copy.deepcopy(full), IMAGES, rules)
    assert supernet.space == filled.space and on_meta(supernet.model)
    rng = np.random.default_rng(0)
    archs = [supernet.space.smallest, supernet.space.sample(rng)]
    costs = ofa.cost(supernet, archs), ofa.cost(filled, archs)
    assert {key: values.tolist() for key, values in costs[0].items()} == {k: v.tolist() for k, v in costs[1].items()}
    supernet.model.load_state_dict(full.state_dict(), assign=True, strict=not kernels)
    for arch in archs:
        with torch.no_grad():
            expected = filled.extract(arch)(IMAGES)
            assert torch.equal(supernet.subnet(arch)(IMAGES), expected)
            assert torch.equal(supernet.extract(arch)(IMAGES), expected)


def test_peak_memory_needs_no_weights() -> None:
    with torch.device("meta"):
        empty = ResNet(SHAPE, 5, depth=8).eval()
    supernet, filled = ofa.Supernet(empty, IMAGES), ofa.Supernet(ResNet(SHAPE, 5, depth=8).eval(), IMAGES)
    archs = [supernet.space.smallest, supernet.space.largest]
    assert ofa.peak_activation_bytes(supernet, archs).tolist() == ofa.peak_activation_bytes(filled, archs).tolist()


class Tied(nn.Module):
    """An embedding that is its head's weight too, some of it on the meta device."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((8,), 3.0))
        with torch.device("meta"):
            self.embedding = nn.Embedding(11, 8)
            self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.embedding(ids) * self.scale)  # type: ignore[no-any-return]


def test_what_is_tied_stays_tied_and_what_has_values_keeps_them() -> None:
    net = materialized_(Tied())
    assert not on_meta(net) and net.head.weight is net.embedding.weight
    assert net.scale.tolist() == [3.0] * 8


class Reordered(nn.Module):
    """Takes channels in an order that a buffer holds."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(3, 8), nn.Linear(8, 6), nn.Linear(6, 2)
        self.register_buffer("order", torch.arange(8).flip(0))

    def forward(self, values: Tensor) -> Tensor:
        return self.third(self.second(self.first(values)[:, self.order]).relu())  # type: ignore[no-any-return]


def test_whole_numbers_without_values_are_refused() -> None:
    with torch.device("meta"):
        net = Reordered()
    with pytest.raises(InvalidInput, match=r"^order, int64 of shape \(8,\), is on the meta device.*give it its values"):
        ofa.Supernet(net, torch.randn(2, 3))
    net.order = torch.arange(8).flip(0)
    assert [group.name for group in ofa.Supernet(net, torch.randn(2, 3), RULES).groups] == ["second"]


def test_inputs_without_values_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"input '0' of shape \(2, 3, 16, 16\) is on the meta.*torch.randn"):
        ofa.Supernet(ResNet(SHAPE, 5, depth=8), torch.randn(2, *SHAPE, device="meta"))
