"""Inspection counts what varies, against a count by hand from the subnets themselves."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import ofa
from ofa.inspection import inspect
from tests.ofa.nets import SHIPPED, from_zoo, shipped
from tests.ofa.zoo import AWKWARD, PLAIN


def varying(supernet: ofa.Supernet) -> set[str]:
    """The parameters whose shape some Arch changes, or that some Arch leaves out: read off extracted subnets."""
    full = {name: tuple(tensor.shape) for name, tensor in supernet.model.named_parameters()}
    largest = supernet.space.largest.values
    result = set()
    for choice in supernet.space.choices:
        arch = supernet.space.arch({**largest, choice.key: choice.values[0]})
        smaller = [(name, tuple(tensor.shape)) for name, tensor in supernet.subnet(arch).named_parameters()]
        left = dict(smaller)
        if choice.kind == "depth":  # later blocks are renumbered: what is left out are the last
            result |= {name for name in full if name not in left and name not in result}
        else:
            result |= {name for name, shape in full.items() if left.get(name) != shape}
    return result


LARGE = ("mobilenet", "resnet32", "resnet56")
MODELS = [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in SHIPPED]


@pytest.mark.parametrize("name", [*MODELS, *PLAIN, *AWKWARD])
def test_elastic_parameters_are_those_that_some_subnet_changes(name: str) -> None:
    supernet, _ = shipped(name) if name in SHIPPED else from_zoo(name)
    inspection = inspect(supernet)
    sizes = {name: tensor.numel() for name, tensor in supernet.model.named_parameters()}
    fixed = {name for obstacle in inspection.obstacles for name in obstacle.layers}
    assert not fixed & varying(supernet)
    assert inspection.parameters == sum(sizes.values())
    assert inspection.elastic == inspection.parameters - sum(sizes[name] for name in fixed)
    smallest = supernet.extract(supernet.space.smallest)
    assert inspection.smallest == sum(tensor.numel() for tensor in smallest.parameters())
    assert inspection.parameters - inspection.smallest <= inspection.elastic


class HardCoded(nn.Module):
    """A linear layer that takes what a literal says, behind one that takes what there is."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 8, 3)
        self.head = nn.Linear(8 * 4 * 4, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(self.stem(images)).view(-1, 128))


def test_an_obstacle_names_its_reason_and_its_cure() -> None:
    inspection = inspect(ofa.Supernet(HardCoded(), torch.randn(2, 3, 8, 8)))
    assert inspection.choices == {"width": 1}
    obstacle = next(obstacle for obstacle in inspection.obstacles if "conv.bias" in obstacle.layers)
    assert "view(-1, 128)" in obstacle.reason
    assert "x.flatten(1)" in obstacle.cure
    output = next(obstacle for obstacle in inspection.obstacles if "head.bias" in obstacle.layers)
    assert (output.reason, output.cure) == ("is the network's output", "")
    assert [obstacle.parameters for obstacle in inspection.obstacles] == sorted(
        (obstacle.parameters for obstacle in inspection.obstacles), reverse=True
    )
