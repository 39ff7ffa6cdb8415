"""Numbers that count units are found in modules whose own tensors count channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

import ofa
from ofa.randomize import randomize_
from tests.ofa.trial.test_mending import check

WIDTH, HEADS = 12, 3


class Biased(nn.Module):
    """Attention whose biases are its own, beside the number of heads; the width is read from the input (EVA-02)."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = HEADS
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH)
        self.q_bias, self.v_bias = nn.Parameter(torch.zeros(WIDTH)), nn.Parameter(torch.zeros(WIDTH))
        self.register_buffer("k_bias", torch.zeros(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        qkv = functional.linear(x, self.qkv.weight, torch.cat((self.q_bias, self.k_bias, self.v_bias)))
        q, k, v = qkv.reshape(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        y = functional.scaled_dot_product_attention(q, k, v)
        return self.proj(y.transpose(1, 2).reshape(n, t, c))


class Net(nn.Module):
    """Two blocks between two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, WIDTH), nn.Linear(WIDTH, 4)
        self.blocks = nn.ModuleList(Biased() for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.last(x)


def test_heads_are_counted_beside_biases_of_all_of_them() -> None:
    counts_heads(Net(), ["blocks.0", "blocks.1"])


def test_a_layer_or_block_that_is_there_twice_has_one_place() -> None:
    layer, block = Net(), Net()
    layer.blocks[1].proj = layer.blocks[0].proj
    block.blocks[1] = block.blocks[0]
    counts_heads(layer, ["blocks.0", "blocks.1"])
    counts_heads(block, ["blocks.0"])


def counts_heads(net: nn.Module, places: list[str]) -> None:
    images = torch.randn(2, 6, 5, dtype=torch.float64)
    supernet = ofa.Supernet(net.double().eval(), images, ofa.SpaceRules(width_ratios=None, multiple_of=1))
    assert not supernet.refused
    assert [(group.name, group.units) for group in supernet.groups] == [("first", HEADS)]
    assert sorted((number.path, number.name) for number in supernet.structure.attributes) == [
        (place, "heads") for place in places
    ]
    randomize_(supernet.model)
    check(supernet, images)
