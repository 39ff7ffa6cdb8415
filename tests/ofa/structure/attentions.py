"""Attention of every kind as people write it, on (N, 7, 5); and what holds for a supernet of each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import ofa
from ofa.randomize import randomize_
from tests.ofa.nets import zeroed_output

Mix = Callable[["Attention", Tensor, Tensor, Tensor], Tensor]
TOKENS, WIDTH, HEADS, CHANNELS = 7, 12, 4, 4


class Attention(nn.Module):
    """enter -> x + attention(x) -> x + mlp(x) -> head, on (N, 7, 5); sizes are read from tensors."""

    def __init__(self, mix: Mix, key_heads: int = HEADS, packed: bool = False) -> None:
        super().__init__()
        self.mix, self.packed = mix, packed
        self.enter, self.position = nn.Linear(5, WIDTH), nn.Parameter(torch.zeros(1, TOKENS, WIDTH))
        sizes = [count * CHANNELS for count in (HEADS, key_heads, key_heads)]
        self.into = nn.ModuleList(nn.Linear(WIDTH, size) for size in ([sum(sizes)] if packed else sizes))
        self.out = nn.Linear(sizes[0], WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 16), nn.GELU(), nn.Linear(16, WIDTH))
        self.head = nn.Linear(WIDTH, 3)
        self.gain, self.temperature = nn.Parameter(torch.ones(CHANNELS)), nn.Parameter(torch.ones(HEADS, 1, 1))
        self.table = nn.Parameter(torch.zeros(2 * TOKENS - 1, HEADS))
        distance = torch.arange(TOKENS)[:, None] - torch.arange(TOKENS)[None] + TOKENS - 1
        self.register_buffer("distance", distance, persistent=False)
        self.register_buffer("frequency", 10.0 ** -torch.arange(0, CHANNELS, 2), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x) + self.position
        parts = self.into[0](x).chunk(3, -1) if self.packed else [layer(x) for layer in self.into]
        q, k, v = (part.view(*part.shape[:2], -1, CHANNELS).transpose(1, 2) for part in parts)
        x = x + self.out(self.mix(self, q, k, v).transpose(1, 2).flatten(2))
        return self.head((x + self.mlp(x)).mean(1))

    def bias(self) -> Tensor:
        return self.table[self.distance].permute(2, 0, 1)

    def turn(self, x: Tensor) -> Tensor:
        angles = torch.outer(torch.arange(TOKENS).to(x.dtype), self.frequency.to(x.dtype)).repeat(1, 2)
        left, right = x.chunk(2, -1)
        return x * angles.cos() + torch.cat([-right, left], -1) * angles.sin()


def plain(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | float = 0.0) -> Tensor:
    return (q @ k.mT / CHANNELS**0.5 + bias).softmax(-1) @ v


def summed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = torch.einsum("nhqd,nhkd->nhqk", q, k).softmax(-1)
    return torch.einsum("nhqk,nhkd->nhqd", scores, v)


def expanded(x: Tensor) -> Tensor:
    return x[:, :, None].expand(-1, -1, 2, -1, -1).flatten(1, 2)


ALL_HEADS: dict[str, Mix] = {
    "by hand": lambda net, q, k, v: plain(q, k, v),
    "einsum": lambda net, q, k, v: summed(q, k, v),
    "fused": lambda net, q, k, v: F.scaled_dot_product_attention(q, k, v),
    "fused and causal": lambda net, q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
    "bias table": lambda net, q, k, v: plain(q, k, v, net.bias()),
    "fused bias table": lambda net, q, k, v: F.scaled_dot_product_attention(q, k, v, net.bias()[None]),
    "rotary": lambda net, q, k, v: plain(net.turn(q), net.turn(k), v),
    "gain of channels": lambda net, q, k, v: plain(q * net.gain, k, v),
    "layer norm of heads": lambda net, q, k, v: plain(F.layer_norm(q, (CHANNELS,), net.gain), k, v),
    "temperature of heads": lambda net, q, k, v: plain(q * net.temperature, k, v),
    "linear": lambda net, q, k, v: q.softmax(-1) @ (k.mT @ v),
    "gate of heads": lambda net, q, k, v: plain(q, k, v) * net.temperature.sigmoid(),
}
SHARED_KEYS: dict[str, Mix] = {
    "expanded": lambda net, q, k, v: plain(q, expanded(k), expanded(v)),
    "repeated": lambda net, q, k, v: plain(q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)),
    "fused": lambda net, q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
}


def check(model: nn.Module, x: Tensor, seed: int = 0, zeroed: bool = True) -> ofa.Supernet:
    """Returns the supernet; subnets equal their copies and the zeroed model, and cost what a forward counts."""
    torch.manual_seed(seed)
    supernet = ofa.Supernet(randomize_(model.double().eval()), x, ofa.SpaceRules(multiple_of=1))
    rng = np.random.default_rng(seed)
    archs = [supernet.space.largest, supernet.space.smallest, *(supernet.space.sample(rng) for _ in range(3))]
    macs = ofa.cost(supernet, archs)["macs"]
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        torch.testing.assert_close(supernet.subnet(archs[0])(x), supernet.model(x))
        for arch, expected in zip(archs, macs, strict=True):
            copied = supernet.extract(arch).eval()
            with FlopCounterMode(display=False) as counter:
                output = copied(x)
            torch.testing.assert_close(supernet.subnet(arch)(x), output, rtol=1e-10, atol=1e-10)
            if zeroed:
                torch.testing.assert_close(zeroed_output(supernet, arch, x), output, rtol=1e-10, atol=1e-10)
            assert counter.get_total_flops() == 2 * len(x) * expected
    return supernet


def widths(supernet: ofa.Supernet) -> dict[str, tuple[int, int]]:
    return {group.name: (group.units, group.channels_per_unit) for group in supernet.groups}


def tokens() -> Tensor:
    return torch.randn(2, TOKENS, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
