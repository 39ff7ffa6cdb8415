"""Groups that shrink only together: which are tied, and that subnets of ties are exact."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ofa
from ofa.randomize import randomize_
from ofa.structure.coupling import Group, Member
from ofa.trial.ties import partners, tied
from tests.ofa.trial.test_mending import check

WIDTH, HEADS, TOKENS = 12, 3, 4


class Block(nn.Module):
    """Adds its attention to its input."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attention(x)


class Windowed(nn.Module):
    """Heads as a number of the module, which their window equals; the width is read from the input (Swin)."""

    def __init__(self) -> None:
        super().__init__()
        self.window, self.heads = HEADS, HEADS
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.table = nn.Parameter(torch.zeros(5, HEADS))

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        y = x.view(-1, self.window, c)
        q, k, v = self.qkv(y).reshape(len(y), self.window, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        at = torch.arange(self.window)
        bias = self.table[at[:, None] - at[None] + 2].permute(2, 0, 1)
        y = (q @ k.mT * k.shape[-1] ** -0.5 + bias).softmax(-1) @ v
        return self.proj(y.transpose(1, 2).reshape(-1, self.window, c)).view(n, t, c)


class Reduced(nn.Module):
    """One head of a size that is the module's; keys and values of fewer positions, by the input's width (SegFormer)."""

    def __init__(self) -> None:
        super().__init__()
        self.head_size = WIDTH
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.reduce, self.norm = nn.Conv1d(WIDTH, WIDTH, 3, 3), nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        y = self.norm(self.reduce(x.mT).reshape(n, c, -1).mT)
        q, k, v = (
            layer(part).view(*part.shape[:2], -1, self.head_size).transpose(1, 2)
            for layer, part in ((self.q, x), (self.k, y), (self.v, y))
        )
        return self.out(F.scaled_dot_product_attention(q, k, v, scale=0.3).transpose(1, 2).reshape(n, t, -1))


def decorated(method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(method)
    def called(*args: Any, **kwargs: Any) -> Tensor:
        return method(*args, **kwargs)

    return called


class Folded(nn.Module):
    """Too few channels for the heads go unnoticed: they make fewer positions, which are spread again (OPT)."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.size = HEADS, WIDTH // HEADS
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    @decorated
    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        q, k, v = (layer(x).view(n, -1, self.heads, self.size).transpose(1, 2) for layer in (self.q, self.k, self.v))
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, -1))


class Biased(nn.Module):
    """Heads that take a bias, or make one of zeros and hand it on (T5)."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.size = HEADS, WIDTH // HEADS
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if bias is None:
            bias = torch.zeros(self.heads, x.shape[1], x.shape[1], dtype=x.dtype)
        parts = self.qkv(x).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (-1, self.size)).transpose(1, 2) for part in parts)
        return self.out(((q @ k.mT + bias).softmax(-1) @ v).transpose(1, 2).flatten(2)), bias


class Network(nn.Module):
    """Two blocks of one kind between linear layers, on (N, 60)."""

    def __init__(self, attention: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(10, WIDTH), nn.Linear(WIDTH, 5)
        self.blocks = nn.ModuleList(Block(attention()) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x.view(-1, 6, 10))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(1))


class OneBias(nn.Module):
    """The second layer takes the bias of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(10, WIDTH), nn.Linear(WIDTH, 5)
        self.first, self.second = Biased(), Biased()

    def forward(self, x: Tensor) -> Tensor:
        y, bias = self.first(self.enter(x.view(-1, 6, 10)))
        return self.head((y + self.second(y, bias)[0]).mean(1))


ONE = {f"blocks.{i}.attention.q": WIDTH for i in range(2)}


@pytest.mark.parametrize(
    ("model", "widths"),
    [
        (lambda: Network(Windowed), {"enter": HEADS}),
        (lambda: Network(Reduced), {"enter": WIDTH, **ONE}),
        (lambda: Network(Folded), {"enter": WIDTH, **dict.fromkeys(ONE, HEADS)}),
        (OneBias, {"enter": WIDTH, "first.qkv": HEADS, "first.out": WIDTH}),
    ],
    ids=["windows", "reduced", "folded", "one bias"],
)
def test_groups_shrink_with_those_that_their_code_needs(model: Callable[[], nn.Module], widths: dict[str, int]) -> None:
    torch.manual_seed(0)
    images = torch.randn(3, 60, dtype=torch.float64)
    supernet = ofa.Supernet(randomize_(model().double()).eval(), images, ofa.SpaceRules(multiple_of=1))
    assert {group.name: group.units for group in supernet.groups} == widths
    assert not supernet.refused
    check(supernet, images)


def group(name: str, units: int, *members: tuple[str, int, int]) -> Group:
    indices = (Member(source, dim, np.arange(units * per).reshape(units, per)) for source, dim, per in members)
    return Group(name, units, members[0][2], tuple(indices))


def test_tied_groups_keep_equal_shares_of_each() -> None:
    heads, width = (
        group("qkv", 6, ("qkv.weight", 0, 12)),
        group("stem", 24, ("stem.weight", 0, 1), ("qkv.weight", 1, 1)),
    )
    both = tied([width, heads])
    assert both is not None
    assert (both.name, both.units, both.channels) == ("stem", 6, 24)
    rows = {(member.source, member.dim): member.index for member in both.members}
    assert rows["qkv.weight", 0].tolist() == np.arange(72).reshape(6, 12).tolist()
    assert rows["qkv.weight", 1].tolist() == np.arange(24).reshape(6, 4).tolist()
    even, odd = (Group("stem", 4, 1, (Member("stem.weight", 0, np.arange(i, 8, 2)[:, None]),)) for i in (0, 1))
    pairs = tied([even, odd])
    assert pairs is not None
    assert (pairs.units, pairs.channels_per_unit) == (4, 2)
    assert tied([heads]) is None
    assert tied([heads, group("odd", 5, ("qkv.weight", 1, 1))]) is None


def test_partners_are_the_groups_in_a_failing_module_and_those_like_them() -> None:
    modules = dict(Network(Windowed).named_modules())
    width = group("enter", 12, *((f"blocks.{i}.attention.qkv.weight", 1, 1) for i in range(2)))
    heads = [group(f"heads {i}", 3, (f"blocks.{i}.attention.qkv.weight", 0, 12)) for i in range(2)]
    other = group("head", 12, ("head.weight", 1, 1))
    places = ["blocks.0.attention.qkv", "blocks.0.attention"]
    assert list(partners(modules, [width], [*heads, other], places)) == [heads, [heads[0]]]
    assert list(partners(modules, heads[:1], [width, heads[1], other], places[1:])) == [[width], [width]]
    assert not list(partners(modules, [other], heads, ["head"]))
