"""Transformers and others that mix patches of images, written by hand in the ways that people write them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.collection.entry import Entry, on_images

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


def entries() -> tuple[Entry, ...]:
    """Returns the networks that mix patches of images."""
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
    return tuple(on_images(name, "transformer", build) for name, build in vits.items())
