"""Tensors that are written part by part: labels show wherever the memory does, and subnets are exact."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import ofa
from ofa.randomize import randomize_
from tests.ofa.trial.test_mending import check

Fill = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class Written(nn.Module):
    """Fills a fresh tensor with the results of two layers, on (N, 10)."""

    def __init__(self, fill: Fill) -> None:
        super().__init__()
        self.fill = fill
        self.a, self.b, self.c, self.d = nn.Linear(10, 8), nn.Linear(10, 6), nn.Linear(14, 7), nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a(x), self.b(x)
        y = x.new_zeros(len(x), a.shape[1] + b.shape[1])
        return self.d(self.c(self.fill(x, y, a, b).relu()))


def by_slices(x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    y[:, : a.shape[1]] = a
    y[:, a.shape[1] :] = b
    return y


def by_pieces(x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    first, second = y.split([a.shape[1], b.shape[1]], 1)
    first.copy_(a)
    second.copy_(b)
    return y


def seen_before(x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    turned = y.T
    by_slices(x, y, a, b)
    return turned.T


def partly_zero(x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    b = b.clone()
    b[:, : b.shape[1] // 2].zero_()
    return torch.cat([a, b], 1)


def beside_zeros(x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    y[:, : a.shape[1]] = a
    return y


def beside_inputs(x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    y[:, : a.shape[1]] = a
    y[:, a.shape[1] :] = x[:, :6]
    return y


@pytest.mark.parametrize(
    ("fill", "widths"),
    [
        (by_slices, {"a": 8, "b": 6, "c": 7}),
        (by_pieces, {"a": 8, "b": 6, "c": 7}),
        (seen_before, {"a": 8, "b": 6, "c": 7}),
        (partly_zero, {"a": 8, "c": 7}),
        (beside_zeros, {"a": 8, "c": 7}),
        (beside_inputs, {"a": 8, "c": 7}),
    ],
)
def test_what_is_written_into_a_part_is_elastic(fill: Fill, widths: dict[str, int]) -> None:
    torch.manual_seed(0)
    images = torch.randn(3, 10, dtype=torch.float64)
    supernet = ofa.Supernet(randomize_(Written(fill).double()), images, ofa.SpaceRules(multiple_of=1))
    assert {group.name: group.units for group in supernet.groups} == widths
    check(supernet, images)


def test_a_tensor_of_one_number_is_none_once_it_is_written() -> None:
    """Adding it then ties every channel to its place."""

    class Ramp(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(10, 8), nn.Linear(8, 6), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            y = x.new_zeros(8)
            y[2:].fill_(1.0)
            return self.c(self.b((self.a(x) + y).relu()))

    supernet = ofa.Supernet(Ramp().double(), torch.randn(3, 10, dtype=torch.float64), ofa.SpaceRules(multiple_of=1))
    assert [group.name for group in supernet.groups] == ["b"]
    assert "meets values that no weight made" in supernet.structure.fixed["a.weight", 0]


def test_what_varies_along_several_dimensions_stays_when_it_is_written_into_a_part() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c, self.d = nn.Linear(10, 4), nn.Linear(10, 3), nn.Linear(24, 6), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            y = x.new_zeros(len(x), 4, 6)
            y[:, :, :3] = self.a(x)[:, :, None] * self.b(x)[:, None]
            return self.d(self.c(y.flatten(1)).relu())

    supernet = ofa.Supernet(Outer().double(), torch.randn(3, 10, dtype=torch.float64), ofa.SpaceRules(multiple_of=1))
    assert [group.name for group in supernet.groups] == ["c"]
    for layer in "ab":
        assert "is written into part of another tensor" in supernet.structure.fixed[f"{layer}.weight", 0]
