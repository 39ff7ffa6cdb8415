"""Attention of every kind: whole heads are elastic, subnets are exact, and the cost is what a forward counts."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import ofa
from ofa.randomize import randomize_
from tests.ofa.structure.attentions import (
    ALL_HEADS,
    CHANNELS,
    HEADS,
    SHARED_KEYS,
    TOKENS,
    WIDTH,
    Attention,
    check,
    plain,
    summed,
    tokens,
    widths,
)


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
    assert [(group.name, group.units, group.renormalized) for group in supernet.groups] == [
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
