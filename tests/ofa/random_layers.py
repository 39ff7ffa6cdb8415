"""Layers of random programs: each takes and gives a tensor."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Layer(nn.Module):
    """A layer that keeps (N, C, ...) or (N, T, C), and says how many channels it makes."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__()
        self.out, self.layout, self.variant = width, layout, variant
        self.dim = 1 if layout == "image" else 2

    def mix(self, inputs: int, outputs: int, kernel: int = 1) -> nn.Module:
        """A convolution or a linear layer."""
        if self.layout == "tokens":
            return nn.Linear(inputs, outputs)
        return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


class Mix(Layer):
    """To another width."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__(width, layout, variant)
        self.out = (8, 12, 6, 16)[variant]
        self.layer = self.mix(width, self.out, 3 if variant % 2 else 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Grouped(Layer):
    """A grouped or depthwise convolution; a depthwise filter over tokens."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__(width, layout, variant)
        self.groups = (width, 2, 1, width)[variant] if width % 2 == 0 else width
        self.layer = (nn.Conv2d if layout == "image" else nn.Conv1d)(width, width, 3, padding=1, groups=self.groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if self.layout == "image" else self.layer(x.transpose(1, 2)).transpose(1, 2)


class Act(Layer):
    """An activation."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__(width, layout, variant)
        self.slope = nn.Parameter(torch.full((width,), 0.3))

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == 3:
            return F.prelu(x, self.slope) if self.layout == "image" else torch.where(x > 0, x, self.slope * x)
        return (F.gelu, torch.sigmoid, F.leaky_relu)[self.variant](x)


class BatchNorm(Layer):
    """Batch or instance norm; over tokens, the layer norm of PyTorch or one without weights."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__(width, layout, variant)
        if layout == "image":
            self.norm: nn.Module = nn.InstanceNorm2d(width, affine=True) if variant == 3 else nn.BatchNorm2d(width)
        else:
            self.norm = nn.LayerNorm(width, elementwise_affine=variant != 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x)


class ChannelNorm(Layer):
    """A norm over channels: group norms, a layer norm, one by the root mean square, one by the length."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__(width, layout, variant)
        self.weight = nn.Parameter(torch.ones(width))
        self.norm = nn.GroupNorm(2 if variant == 0 and width % 2 == 0 else 1, width)

    def forward(self, x: Tensor) -> Tensor:
        if self.variant < 2:
            return self.norm(x) if self.layout == "image" else self.norm(x.transpose(1, 2)).transpose(1, 2)
        weight = self.weight.view(-1, 1, 1) if self.layout == "image" else self.weight
        if self.variant == 2:
            return weight * x * torch.rsqrt(x.pow(2).mean(self.dim, keepdim=True) + 1e-6)
        return weight * F.normalize(x, dim=self.dim)


class Reduced(Layer):
    """Something is computed over all channels or all positions, and used for each."""

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == 0:
            return x - x.mean(self.dim, keepdim=True)
        if self.variant == 1:
            return x * torch.sigmoid(x.amax(self.dim, keepdim=True))
        if self.variant == 2:
            return x * x.softmax(self.dim)
        others = (2, 3) if self.layout == "image" else (1,)
        return x / (1 + x.std(others, keepdim=True))


class Gate(Layer):
    """Squeeze and excitation."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__(width, layout, variant)
        self.down, self.up = nn.Linear(width, 5), nn.Linear(5, 1 if variant == 3 else width)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3)) if self.layout == "image" else x.mean(1)
        gate = torch.sigmoid(self.up(F.gelu(self.down(mean))))
        return x * (gate[..., None, None] if self.layout == "image" else gate[:, None])


class Attention(Layer):
    """Attention over positions: written out by a reshape with -1, fused, by nn.MultiheadAttention, over channels."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__(width, layout, variant)
        self.heads = 2 if width % 2 == 0 else 1
        self.size = width // self.heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.whole = nn.MultiheadAttention(width, self.heads, batch_first=True) if variant == 2 else None

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2) if self.layout == "image" else x
        if self.whole is not None:
            y = self.whole(tokens, tokens, tokens, need_weights=False)[0]
        elif self.variant == 3:
            q, k, v = self.q(tokens), self.k(tokens), self.v(tokens)
            y = self.o(v @ (F.normalize(q, dim=1).transpose(1, 2) @ F.normalize(k, dim=1)).softmax(-1))
        else:
            q, k, v = (f(tokens).unflatten(-1, (-1, self.size)).transpose(1, 2) for f in (self.q, self.k, self.v))
            if self.variant == 0:
                mixed = (q @ k.transpose(-2, -1) / self.size**0.5).softmax(-1) @ v
            else:
                mixed = F.scaled_dot_product_attention(q, k, v)
            y = self.o(mixed.transpose(1, 2).flatten(2))
        return x + (y.transpose(1, 2).unflatten(2, x.shape[2:]) if self.layout == "image" else y)


class Positions(Layer):
    """Other positions: pooled, enlarged, or mixed by a weight or a fixed table."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__(width, layout, variant)
        self.over = nn.Linear(4, 4)
        self.register_buffer("table", torch.rand(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == 0:
            y = x.transpose(-2, -1) if self.layout == "image" else x.transpose(1, 2)
            y = self.over(y)
            return y.transpose(-2, -1) if self.layout == "image" else y.transpose(1, 2)
        if self.variant == 1:
            return self.table.to(x.dtype) @ x
        if self.layout == "tokens":
            return x.cumsum(1) if self.variant == 2 else x.roll(1, 1)
        return F.interpolate(F.avg_pool2d(x, 2), scale_factor=2) if self.variant == 2 else F.max_pool2d(x, 3, 1, 1)


class Shared(Layer):
    """One layer that is used twice, a weight that is used by two, a weight that is made from another."""

    def __init__(self, width: int, layout: str, variant: int) -> None:
        super().__init__(width, layout, variant)
        self.layer = self.mix(width, width)
        self.weight = nn.Parameter(torch.randn(width, width) / width**0.5)

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == 0:
            return self.layer(F.gelu(self.layer(x)))
        weight = {1: self.weight.t(), 2: self.weight * self.weight, 3: self.weight - self.weight.mean(1, keepdim=True)}
        y = x.movedim(self.dim, -1) @ self.weight
        return F.linear(F.gelu(y), weight[self.variant]).movedim(-1, self.dim)


class Typed(Layer):
    """A number type is named."""

    def forward(self, x: Tensor) -> Tensor:
        if self.variant == 0:
            return x.float().sin().to(x.dtype)
        if self.variant == 1:
            return torch.view_as_real(torch.polar(x.abs() + 1, x)).sum(-1)
        if self.variant == 2:
            return torch.eye(4, dtype=x.dtype) @ x
        return x * (x > 0).to(x.dtype) + 0.1 * x
