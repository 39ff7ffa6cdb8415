"""Layers that compute their weights: what is elastic of them, what stays fixed, and their plain copies."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

import ofa
from ofa.computed_weights import computed_weights, plain_copy, plain_name
from tests.ofa.computed_models import (
    IMAGES,
    KINDS,
    RULES,
    WRAPPED,
    Plain,
    Symmetric,
    own,
    supernet_of,
    wrapped,
)

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.mark.parametrize("kind", KINDS)
def test_the_space_is_that_of_the_plain_network(kind: str) -> None:
    plain = ofa.Supernet(Plain().eval(), IMAGES, RULES)
    supernet = supernet_of(kind)
    assert {choice.key: choice.values for choice in supernet.space.choices} == {
        choice.key: choice.values for choice in plain.space.choices
    }
    assert not supernet.refused
    rows = [(row.layer, row.kind, row.state, row.choices) for row in supernet.report().rows]
    assert rows == [(row.layer, row.kind, row.state, row.choices) for row in plain.report().rows]


def test_a_symmetric_matrix_goes_by_rows_and_columns_together() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 8), nn.Linear(8, 2))
    own(Symmetric, net[1])
    supernet = ofa.Supernet(net.eval(), torch.randn(4, 3), RULES)
    (group,) = supernet.groups
    assert {(member.source, member.dim) for member in group.members} >= {
        ("1.parametrizations.weight.original", 0),
        ("1.parametrizations.weight.original", 1),
        ("0.weight", 0),
        ("2.weight", 1),
    }
    small = supernet.extract(supernet.space.smallest)
    assert torch.equal(small[1].weight, small[1].weight.t())


def test_what_no_rule_follows_stays_with_the_reason() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2), nn.Linear(2, 2))
    parametrizations.orthogonal(net[2])
    report = ofa.Supernet(nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 3), net), torch.randn(4, 3), RULES)
    rows = {row.layer: row for row in report.report().rows}
    assert rows["0"].state == "elastic" and rows["3.4"].state == "elastic"
    assert rows["3.2"].state == "fixed" and "computes its weight" in rows["3.2"].reason
    obstacles = [obstacle for obstacle in ofa.inspect(report).obstacles if "computes its weight" in obstacle.reason]
    assert obstacles and all("remove_parametrizations" in obstacle.cure for obstacle in obstacles)


def test_blocks_with_computed_weights_are_left_out_whole() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = parametrizations.weight_norm(nn.Conv2d(4, 4, 3, padding=1))

        def forward(self, images: Tensor) -> Tensor:
            return images + self.conv(images).relu()

    class Shifted(nn.Module):  # a residual sum, but inside a weight
        def __init__(self) -> None:
            super().__init__()
            self.shift = nn.Parameter(torch.randn(4, 4))

        def forward(self, weight: Tensor) -> Tensor:
            return weight + self.shift

    torch.manual_seed(0)
    last = nn.Linear(4, 4)
    parametrize.register_parametrization(last, "weight", Shifted())
    parametrize.register_parametrization(last, "weight", Shifted())
    net = nn.Sequential(nn.Conv2d(3, 4, 1), *(Block() for _ in range(3)), nn.Flatten(), nn.Linear(4 * 64, 4), last)
    supernet = ofa.Supernet(net.eval(), IMAGES, RULES)
    assert [stage.blocks for stage in supernet.structure.stages] == [("1", "2", "3")]
    assert not supernet.structure.unstaged
    arch = supernet.space.smallest
    with torch.no_grad():
        assert torch.equal(supernet.subnet(arch)(IMAGES), supernet.extract(arch)(IMAGES))


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a.parametrizations.weight.original1", "a.weight"),
        ("parametrizations.bias.original", "bias"),
        ("a.b.weight_v", "a.b.weight"),
        ("a.weight_orig", "a.weight"),
        ("a.weight_ih", "a.weight_ih"),
        ("a.weight", "a.weight"),
    ],
)
def test_plain_names(name: str, plain: str) -> None:
    assert plain_name(name) == plain


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_copy_computes_the_same(kind: str) -> None:
    net = wrapped(kind).eval()
    net(IMAGES)  # what hooks computed is now part of a graph
    plain = plain_copy(net)
    with torch.no_grad():
        torch.testing.assert_close(plain(IMAGES), net(IMAGES), rtol=0, atol=1e-6)
    assert not any(computed_weights(layer) for layer in plain.modules())
    assert all(computed_weights(net.get_submodule(name)) for name in WRAPPED)
    assert {name for name, _ in plain.named_parameters()} == {name for name, _ in Plain().named_parameters()}
    assert copy.deepcopy(plain) is not plain
