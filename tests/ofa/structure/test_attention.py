"""Attention of every kind: whole heads are elastic, subnets are exact, and the cost is what a forward counts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
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


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ALL_HEADS)
def test_whole_heads_are_elastic(name: str, packed: bool) -> None:
    found = widths(check(Attention(ALL_HEADS[name], packed=packed), tokens()))
    heads = (HEADS, 3 * CHANNELS if packed else CHANNELS)
    assert found == {"enter": (WIDTH, 1), "into.0": heads, "mlp.0": (16, 1)}


@pytest.mark.parametrize("name", SHARED_KEYS)
def test_queries_that_share_keys_go_together(name: str) -> None:
    found = widths(check(Attention(SHARED_KEYS[name], key_heads=2), tokens()))
    assert found == {"enter": (WIDTH, 1), "into.0": (2, 2 * CHANNELS), "mlp.0": (16, 1)}


def test_one_head_is_elastic_by_channels() -> None:
    class OneHead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v, self.head = (nn.Linear(*sizes) for sizes in ((5, 8), (5, 8), (5, 6), (6, 3)))

        def forward(self, x: Tensor) -> Tensor:
            return self.head((self.q(x) @ self.k(x).mT).softmax(-1) @ self.v(x)).mean(1)

    assert widths(check(OneHead(), tokens())) == {"q": (8, 1), "v": (6, 1)}


@pytest.mark.parametrize(("into", "out"), [("chd", "hdc"), ("hcd", "hdc"), ("hdc", "chd")])
def test_heads_are_elastic_in_weights_that_have_a_dimension_of_them(into: str, out: str) -> None:
    sizes = {"c": 5, "h": HEADS, "d": CHANNELS, "o": 6}

    class Weights(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v = (nn.Parameter(torch.zeros([sizes[name] for name in into])) for _ in range(3))
            self.out = nn.Parameter(torch.zeros([sizes[name] for name in out.replace("c", "o")]))
            self.head = nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = (torch.einsum(f"ntc,{into}->nhtd", x, weight) for weight in (self.q, self.k, self.v))
            scores = torch.einsum("nhtd,nhsd->nhts", q, k).softmax(-1)
            return self.head(torch.einsum(f"nhtd,{out}->ntc", scores @ v, self.out).relu())

    found = check(Weights(), tokens())
    assert sorted(widths(found).values()) == [(HEADS, 1), (6, 1)]


class Scaled(nn.Module):
    """Fused attention with one head, whose scale is a root of its channels; or learned mixtures of tokens as keys."""

    def __init__(self, heads: int = 1, keys: int = 0, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.q, self.k, self.v, self.out = (nn.Linear(5, 8), nn.Linear(5, 8), nn.Linear(5, 8), nn.Linear(8, 3))
        self.into_keys = nn.Parameter(torch.zeros(keys, TOKENS)) if keys else None

    def forward(self, x: Tensor) -> Tensor:
        mixed = x if self.into_keys is None else self.into_keys @ x
        parts = (layer(part) for layer, part in ((self.q, x), (self.k, mixed), (self.v, mixed)))
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        return self.out(F.scaled_dot_product_attention(q, k, v, is_causal=self.causal).transpose(1, 2).flatten(2))


def test_the_scale_of_fused_attention_follows_the_channels_of_one_head() -> None:
    model = randomize_(Scaled().double().eval())
    supernet = ofa.Supernet(model, tokens(), ofa.SpaceRules(multiple_of=1, width_ratios=None))
    assert [(group.name, group.units, group.renormalised) for group in supernet.groups] == [
        ("q", 8, True),
        ("v", 8, False),
    ]
    for width in range(1, 9):
        q, k = (F.linear(tokens(), layer.weight[:width], layer.bias[:width]) for layer in (model.q, model.k))
        expected = model.out((q @ k.mT / width**0.5).softmax(-1) @ model.v(tokens()))
        torch.testing.assert_close(supernet.subnet(ofa.Arch(width={"q": width, "v": 8}))(tokens()), expected)


def test_keys_that_weights_make_are_elastic_unless_a_mask_counts_them() -> None:
    model = randomize_(Scaled(heads=2, keys=6).double().eval())
    supernet = ofa.Supernet(model, tokens(), ofa.SpaceRules(multiple_of=1))
    assert widths(supernet) == {"q": (2, 4), "into_keys": (6, 1)}
    with torch.no_grad():
        few = supernet.subnet(ofa.Arch(width={"q": 8, "into_keys": 2}))(tokens())
        model.into_keys.data = model.into_keys[:2]
        torch.testing.assert_close(few, model(tokens()))
    counted = ofa.Supernet(Scaled(heads=2, keys=6, causal=True).double(), tokens(), ofa.SpaceRules(multiple_of=1))
    assert widths(counted) == {"q": (2, 4)}
    assert "is normalized over" in counted.structure.fixed["into_keys", 0]


class Tokens(nn.Module):
    """A language model: tied embedding, positions by a buffer, a first token of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.positions = nn.Embedding(11, WIDTH), nn.Embedding(9, WIDTH)
        self.first = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.register_buffer("ids", torch.arange(9)[None])
        self.hidden = nn.Linear(WIDTH, 8)
        self.back = nn.Linear(8, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, words: Tensor) -> Tensor:
        x = self.embed(words) + self.positions(self.ids[:, : words.shape[1]])
        x = torch.cat([self.first.expand(len(x), -1, -1), x], 1)
        return self.head(self.norm(x + self.back(self.hidden(x).relu())))


def test_the_width_of_an_embedding_is_elastic_and_the_vocabulary_stays() -> None:
    supernet = check(Tokens(), torch.randint(0, 11, (2, 6)), zeroed=False)
    assert widths(supernet) == {"back": (WIDTH, 1), "hidden": (8, 1)}
    assert "vocabulary" in supernet.structure.fixed["embed.weight", 0]


def test_tokens_that_are_mixed_count_by_the_channels_that_stay() -> None:
    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter, self.head = nn.Linear(5, WIDTH), nn.Linear(WIDTH, 3)
            self.up, self.down = nn.Linear(TOKENS, 10), nn.Linear(10, TOKENS)
            self.register_buffer("graph", torch.rand(TOKENS, TOKENS))

        def forward(self, x: Tensor) -> Tensor:
            x = self.graph @ self.enter(x)
            return self.head((x + self.down(self.up(x.mT).relu()).mT).mean(1))

    assert widths(check(Mixer(), tokens())) == {"enter": (WIDTH, 1), "up": (10, 1)}


@settings(max_examples=6, deadline=None)
@given(
    heads=st.integers(2, 4), repeats=st.integers(1, 2), kind=st.sampled_from(["by hand", "fused", "einsum"]),
    steps=st.lists(st.sampled_from(["gain", "turn", "bias", "temperature"]), max_size=3, unique=True),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_any_attention_is_exact_and_counted(heads: int, repeats: int, kind: str, steps: list[str], seed: int) -> None:
    class Any(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.kv = nn.Linear(5, heads * repeats * 4), nn.Linear(5, 2 * heads * 4)
            self.out, self.head = nn.Linear(heads * repeats * 4, 6), nn.Linear(6, 3)
            self.gain, self.temperature = nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(heads * repeats, 1, 1))
            self.bias = nn.Parameter(torch.zeros(heads * repeats, TOKENS, TOKENS))

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = (part.unflatten(-1, (-1, 4)).transpose(1, 2) for part in (self.q(x), *self.kv(x).chunk(2, -1)))
            if repeats > 1:
                k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
            if "gain" in steps:
                q = q * self.gain
            if "turn" in steps:
                k = torch.cat([-k[..., 2:], k[..., :2]], -1) + k
            if "temperature" in steps:
                q = q * self.temperature
            bias = self.bias[None] if "bias" in steps else None
            if kind == "fused":
                mixed = F.scaled_dot_product_attention(q, k, v, bias)
            elif bias is None and kind == "einsum":
                mixed = summed(q, k, v)
            else:
                mixed = plain(q, k, v, 0.0 if bias is None else bias)
            return self.head(self.out(mixed.transpose(1, 2).flatten(2)).relu().mean(1))

    found = widths(check(Any(), tokens(), seed))
    assert found["q"] == (heads, 4 * repeats)
    assert found["out"] == (6, 1)
