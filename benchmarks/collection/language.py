"""Transformers on sequences, written by hand in the ways that people write them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.collection.attention import HEADS, WIDTH, Block, RMSNorm, Separate
from benchmarks.collection.entry import Entry, Example, tokens


class Llama(nn.Module):
    """Grouped queries, rotary positions, a gated MLP, RMS norms; the mask is a keyword."""

    def __init__(self, depth: int = 2, heads: int = 4, groups: int = 2) -> None:
        super().__init__()
        self.embed, self.size = nn.Embedding(64, WIDTH), WIDTH // heads
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {"norm1": RMSNorm(WIDTH), "q": nn.Linear(WIDTH, heads * self.size, bias=False),
                 "k": nn.Linear(WIDTH, groups * self.size, bias=False),
                 "v": nn.Linear(WIDTH, groups * self.size, bias=False),
                 "o": nn.Linear(heads * self.size, WIDTH, bias=False), "norm2": RMSNorm(WIDTH),
                 "gate": nn.Linear(WIDTH, 96, bias=False), "up": nn.Linear(WIDTH, 96, bias=False),
                 "down": nn.Linear(96, WIDTH, bias=False)}
            )
            for _ in range(depth)
        )  # fmt: skip
        self.norm, self.head = RMSNorm(WIDTH), nn.Linear(WIDTH, 64, bias=False)

    def rotate(self, x: Tensor) -> Tensor:
        """Returns queries or keys turned by their position."""
        angle = torch.outer(torch.arange(x.shape[2]), 100.0 ** -torch.linspace(0, 1, self.size // 2)).repeat(1, 2)
        first, second = x.chunk(2, dim=-1)
        return x * angle.cos().to(x.dtype) + torch.cat([-second, first], -1) * angle.sin().to(x.dtype)

    def forward(self, ids: Tensor) -> Tensor:
        """Returns logits (N, T, 64)."""
        x = self.embed(ids)
        for layer in self.layers:
            y = layer["norm1"](x)
            q, k, v = (layer[name](y).unflatten(-1, (-1, self.size)).transpose(1, 2) for name in "qkv")
            y = F.scaled_dot_product_attention(self.rotate(q), self.rotate(k), v, is_causal=True, enable_gqa=True)
            x = x + layer["o"](y.transpose(1, 2).flatten(2))
            y = layer["norm2"](x)
            x = x + layer["down"](F.silu(layer["gate"](y)) * layer["up"](y))
        return self.head(self.norm(x))


class GPT2(nn.Module):
    """Learned positions, one layer for queries, keys and values that is split by a size, a tied head."""

    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(64, WIDTH), nn.Embedding(32, WIDTH)
        self.blocks = nn.ModuleList(Block(SplitCausal()) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 64, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids: Tensor) -> Tensor:
        """Returns logits (N, T, 64)."""
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class SplitCausal(nn.Module):
    """Causal attention as in nanoGPT."""

    def __init__(self) -> None:
        super().__init__()
        self.c_attn, self.c_proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.n_head, self.n_embd = HEADS, WIDTH
        self.register_buffer("bias", torch.tril(torch.ones(32, 32)).view(1, 1, 32, 32))

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of x's shape."""
        n, t, c = x.size()
        q, k, v = self.c_attn(x).split(self.n_embd, dim=2)
        q, k, v = (part.view(n, t, self.n_head, c // self.n_head).transpose(1, 2) for part in (q, k, v))
        scores = (q @ k.transpose(-2, -1)) * (k.size(-1) ** -0.5)
        scores = scores.masked_fill(self.bias[:, :, :t, :t] == 0, float("-inf")).softmax(-1)
        return self.c_proj((scores @ v).transpose(1, 2).contiguous().view(n, t, c))


class T5(nn.Module):
    """An encoder and a decoder with cross attention and a bias by relative position."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.bias = nn.Embedding(64, WIDTH), nn.Embedding(16, HEADS)
        self.encoder = nn.ModuleList(Separate() for _ in range(2))
        self.decoder = nn.ModuleList(nn.MultiheadAttention(WIDTH, HEADS, batch_first=True) for _ in range(2))
        self.norms = nn.ModuleList(RMSNorm(WIDTH) for _ in range(4))
        self.head = nn.Linear(WIDTH, 64, bias=False)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Returns logits (N, T, 64)."""
        x, y = self.embed(source), self.embed(target)
        at = torch.arange(source.shape[1])
        bias = self.bias((at[:, None] - at[None]).clamp(-8, 7) + 8).permute(2, 0, 1)
        for layer, norm in zip(self.encoder, self.norms[:2], strict=True):
            x = x + layer(norm(x), mask=bias)
        for layer, norm in zip(self.decoder, self.norms[2:], strict=True):
            y = y + layer(norm(y), x, x, need_weights=False)[0]
        return self.head(y)


def transformer_encoder() -> nn.Module:
    """Returns PyTorch's own encoder."""
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 64, dropout=0.0, batch_first=True)
    return nn.Sequential(nn.Linear(8, WIDTH), nn.TransformerEncoder(layer, 2), nn.Linear(WIDTH, 10))


def pair(build: Callable[[], nn.Module]) -> tuple[nn.Module, Example]:
    """Returns a model of two sequences of tokens."""
    return build(), Example((tokens(12), tokens(9)))


def entries() -> tuple[Entry, ...]:
    """Returns the transformers on sequences."""
    return (
        Entry("Llama", "transformer", lambda: (Llama(), Example((tokens(),)))),
        Entry("GPT-2", "transformer", lambda: (GPT2(), Example((tokens(),)))),
        Entry("T5", "transformer", lambda: pair(T5)),
        Entry(
            "nn.TransformerEncoder", "transformer", lambda: (transformer_encoder(), Example((torch.randn(2, 6, 8),)))
        ),
    )
