"""Networks that hold their sizes in Python, in every way that is followed, and one that is not."""

from types import SimpleNamespace

import torch
from torch import Tensor, nn


class Named(nn.Module):
    """The width is a number of the module."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = 24
        self.first, self.last = nn.Linear(10, 24), nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x).relu().view(-1, self.hidden))


class Configured(nn.Module):
    """Both layers read one config, whose field the widths of both blocks equal."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(inner=SimpleNamespace(hidden=24), layers=2)
        self.blocks = nn.ModuleList([ConfiguredBlock(self.config), ConfiguredBlock(self.config)])
        self.last = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.last(x)


class ConfiguredBlock(nn.Module):
    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.config = config
        self.first, self.last = nn.Linear(10, 24), nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.config.inner.hidden
        return self.last(self.first(x).reshape(-1, hidden).relu())


class Sums(nn.Module):
    """One number counts the channels of two layers, and a list holds one number for each."""

    def __init__(self) -> None:
        super().__init__()
        self.total, self.sizes = 28, [16, 12]
        self.a, self.b, self.c, self.d = nn.Linear(10, 16), nn.Linear(10, 12), nn.Linear(16, 7), nn.Linear(12, 7)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.a(x), self.b(x)], dim=1).relu().reshape(-1, self.total)
        a, b = both.split(self.sizes, dim=1)
        return self.c(a) + self.d(b)


class Conv1D(nn.Module):
    """The linear layer of GPT-2: its output's size is a number, and its weight is (inputs, outputs)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.nf = outputs
        self.weight = nn.Parameter(torch.zeros(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        size = (*x.shape[:-1], self.nf)
        return torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight).view(size)


class Stream(nn.Module):
    """A residual stream whose width is a number of every block."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(10, 12)
        self.blocks = nn.ModuleList([nn.Sequential(Conv1D(12, 20), nn.GELU(), Conv1D(20, 12)) for _ in range(3)])
        self.last = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.last(x)


class Packed(nn.Module):
    """The attention of GPT-2: packed by a layer and split by a number that both are the module's."""

    def __init__(self) -> None:
        super().__init__()
        self.split_size, self.head_dim = 12, 3
        self.c_attn, self.c_proj = Conv1D(10, 36), Conv1D(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.c_attn(x.view(-1, 2, 10)).split(self.split_size, dim=2)
        q, k, v = (part.view(*part.shape[:-1], -1, self.head_dim).transpose(1, 2) for part in parts)
        attended = (q @ k.transpose(-2, -1)).softmax(-1) @ v
        return x.view(-1, 2, 10) + self.c_proj(attended.transpose(1, 2).flatten(2))


class Mixing(nn.Module):
    """Heads that gate each other; their number is the module's, their size its own, inferred, or the input's."""

    def __init__(self, size: str) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.size = 6, 4, size
        self.qkv, self.proj = nn.Linear(24, 72), nn.Linear(24, 24)

    def forward(self, x: Tensor) -> Tensor:
        positions, width = x.shape[1:]
        size = {"own": self.head_dim, "inferred": -1, "input": width // self.num_heads}[self.size]
        q, k, v = self.qkv(x).reshape(len(x), positions, 3, self.num_heads, size).permute(2, 0, 3, 1, 4).unbind(0)
        y = (q * k.sigmoid() + v).transpose(1, 2)
        return self.proj(y.reshape(x.shape) if self.size == "input" else y.flatten(2))


class Heads(nn.Module):
    def __init__(self, size: str) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(10, 24), nn.Linear(24, 3)
        self.blocks = nn.ModuleList([Mixing(size), Mixing(size)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.view(-1, 2, 10))
        for block in self.blocks:
            x = x + block(x)
        return self.last(x.mean(1))


class Literal(nn.Module):
    """The width is written in the code."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(10, 24), nn.Linear(24, 8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.middle(self.first(x).view(-1, 24)))


class Deviation(nn.Module):
    """Divides by a deviation, which one channel has not."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(10, 8), nn.Linear(8, 6), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return self.last(self.middle(y / (1 + y.std(1, keepdim=True))).relu())


class Unlike(nn.Module):
    """Blocks of one class of which the first cannot shrink inside and the others can; 10 channels in, 3 out."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(10, 12)
        self.blocks = nn.Sequential(*(UnlikeBlock(is_written=number == 0) for number in range(3)))
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)))


class UnlikeBlock(nn.Module):
    def __init__(self, *, is_written: bool) -> None:
        super().__init__()
        self.is_written = is_written
        self.first, self.last = nn.Linear(12, 8), nn.Linear(8, 12)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x).sin()
        return x + self.last(hidden.view(-1, 8) if self.is_written else hidden)
