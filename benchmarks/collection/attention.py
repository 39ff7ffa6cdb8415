"""Transformers and networks that mix tokens, written by hand in the ways that people write them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.collection.entry import Entry, Example, on_images, tokens

WIDTH, HEADS = 32, 4


class Joint(nn.Module):
    """Attention as in timm: one layer for queries, keys and values; sizes from attributes and from the input."""

    def __init__(self, width: int = WIDTH, heads: int = HEADS) -> None:
        super().__init__()
        self.num_heads, self.head_dim = heads, width // heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of x's shape (N, T, width)."""
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        attention = (q * self.head_dim**-0.5 @ k.transpose(-2, -1)).softmax(-1)
        return self.proj((attention @ v).transpose(1, 2).reshape(n, t, c))


class Separate(nn.Module):
    """Attention with three layers and the fused kernel; sizes from -1."""

    def __init__(self, width: int = WIDTH, heads: int = HEADS, groups: int = 0, causal: bool = False) -> None:
        super().__init__()
        self.size, self.causal, self.grouped = width // heads, causal, bool(groups)
        self.q, self.out = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.k, self.v = (nn.Linear(width, (groups or heads) * self.size, bias=False) for _ in range(2))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns a tensor of x's shape (N, T, width)."""
        q, k, v = (layer(x).unflatten(-1, (-1, self.size)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        if self.grouped:
            repeats = q.shape[1] // k.shape[1]
            k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=self.causal)
        return self.out(y.transpose(1, 2).flatten(2))


class Einsum(nn.Module):
    """Attention whose weights have a dimension of heads."""

    def __init__(self, width: int = WIDTH, heads: int = HEADS) -> None:
        super().__init__()
        size = width // heads
        self.q, self.k, self.v = (nn.Parameter(torch.randn(width, heads, size) / width**0.5) for _ in range(3))
        self.o = nn.Parameter(torch.randn(heads, size, width) / width**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of x's shape (N, T, width)."""
        q, k, v = (torch.einsum("ntc,chd->nhtd", x, weight) for weight in (self.q, self.k, self.v))
        scores = torch.einsum("nhtd,nhsd->nhts", q, k) / q.shape[-1] ** 0.5
        return torch.einsum("nhtd,hdc->ntc", scores.softmax(-1) @ v, self.o)


class Block(nn.Module):
    """A block with the norm before each part."""

    def __init__(
        self, attention: nn.Module, width: int = WIDTH, norm: Callable[[int], nn.Module] = nn.LayerNorm
    ) -> None:
        super().__init__()
        self.norm1, self.attention, self.norm2 = norm(width), attention, norm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of x's shape."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PostNorm(Block):
    """A block with the norm after each sum, as the first transformer had."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of x's shape."""
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.mlp(x))


class ViT(nn.Module):
    """Patches, a class token, positions, blocks."""

    def __init__(self, block: Callable[[], nn.Module], width: int = WIDTH, depth: int = 3) -> None:
        super().__init__()
        self.patch, self.cls = nn.Conv2d(3, width, 8, 8), nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 17, width))
        self.blocks = nn.ModuleList(block() for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Returns logits (N, 10)."""
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


class Multihead(nn.Module):
    """nn.MultiheadAttention of a sequence with itself."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, HEADS, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of x's shape."""
        return self.attention(x, x, x, need_weights=False)[0]


class MixerBlock(nn.Module):
    """An MLP over tokens, then one over channels."""

    def __init__(self, tokens: int = 17, width: int = WIDTH) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.over_tokens = nn.Sequential(nn.Linear(tokens, 24), nn.GELU(), nn.Linear(24, tokens))
        self.over_channels = nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width))

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of x's shape."""
        x = x + self.over_tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.over_channels(self.norm2(x))


class GatedMlp(nn.Module):
    """The block of a gMLP: half of the channels gate the other half across tokens."""

    def __init__(self, tokens: int = 17, width: int = WIDTH) -> None:
        super().__init__()
        self.norm, self.enter, self.leave = nn.LayerNorm(width), nn.Linear(width, 128), nn.Linear(64, width)
        self.gate_norm, self.gate = nn.LayerNorm(64), nn.Conv1d(tokens, tokens, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of x's shape."""
        u, v = F.gelu(self.enter(self.norm(x))).chunk(2, dim=-1)
        return x + self.leave(u * self.gate(self.gate_norm(v)))


class Windowed(nn.Module):
    """Attention inside windows with a learned table of relative positions, as in Swin."""

    def __init__(self, width: int = WIDTH, heads: int = HEADS, window: int = 4) -> None:
        super().__init__()
        self.window, self.heads = window, heads
        self.norm, self.qkv, self.proj = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        at = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
        apart = (at[:, :, None] - at[:, None]) + window - 1
        self.register_buffer("index", apart[0] * (2 * window - 1) + apart[1])

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of x's shape (N, H, W, width)."""
        n, h, w, c = x.shape
        s = self.window
        y = self.norm(x).view(n, h // s, s, w // s, s, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, s * s, c)
        q, k, v = self.qkv(y).reshape(y.shape[0], s * s, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.table[self.index.view(-1)].view(s * s, s * s, -1).permute(2, 0, 1)
        y = ((q @ k.transpose(-2, -1)) * k.shape[-1] ** -0.5 + bias).softmax(-1) @ v
        y = self.proj(y.transpose(1, 2).reshape(-1, s * s, c))
        return x + y.view(n, h // s, w // s, s, s, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)


class Swin(nn.Module):
    """Two stages of windows with patch merging between."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.first = nn.Conv2d(3, WIDTH, 4, 4), nn.Sequential(Windowed(), Windowed())
        self.merge, self.second = (
            nn.Linear(4 * WIDTH, 2 * WIDTH),
            nn.Sequential(Windowed(2 * WIDTH), Windowed(2 * WIDTH)),
        )
        self.head = nn.Linear(2 * WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Returns logits (N, 10)."""
        x = self.first(self.patch(x).permute(0, 2, 3, 1))
        x = torch.cat([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], -1)
        return self.head(self.second(self.merge(x)).mean((1, 2)))


class RMSNorm(nn.Module):
    """A norm by the root of the mean square, written out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of x's shape."""
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


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
    """Returns the networks that mix tokens."""
    vits = {
        "ViT, joint qkv": lambda: ViT(lambda: Block(Joint())),
        "ViT, SDPA": lambda: ViT(lambda: Block(Separate())),
        "ViT, einsum": lambda: ViT(lambda: Block(Einsum())),
        "ViT, nn.MultiheadAttention": lambda: ViT(lambda: Block(Multihead())),
        "ViT, post-norm": lambda: ViT(lambda: PostNorm(Joint())),
        "ViT, single head": lambda: ViT(lambda: Block(Separate(heads=1))),
        "ViT, grouped queries": lambda: ViT(lambda: Block(Separate(groups=2), norm=RMSNorm)),
        "MLP-Mixer": lambda: ViT(MixerBlock),
        "gMLP": lambda: ViT(GatedMlp),
        "Swin": Swin,
    }
    return (
        *(on_images(name, "transformer", build) for name, build in vits.items()),
        Entry("Llama", "transformer", lambda: (Llama(), Example((tokens(),)))),
        Entry("GPT-2", "transformer", lambda: (GPT2(), Example((tokens(),)))),
        Entry("T5", "transformer", lambda: pair(T5)),
        Entry(
            "nn.TransformerEncoder", "transformer", lambda: (transformer_encoder(), Example((torch.randn(2, 6, 8),)))
        ),
    )
