"""Models as users write them: plain and awkward ones, small enough to convert in a moment."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.ofa.awkward_models import Closure, Fourier, HardView, Heads, WriteInto


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))), inplace=True)


class Headed(nn.Module):
    """A body on images, then mean pooling and a classifier."""

    def __init__(self, body: nn.Module, channels: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(channels, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3)))


class GatedChunk(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.make = nn.Conv2d(3, 16, 3, padding=1)
        self.after = nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.make(x).chunk(2, dim=1)
        return self.after(a * torch.sigmoid(b))


class TwoBranches(nn.Module):
    """A split whose halves go to different convolutions, then a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.make = nn.Conv2d(3, 16, 1)
        self.left = nn.Conv2d(8, 6, 3, padding=1)
        self.right = nn.Conv2d(8, 10, 1)
        self.join = nn.Conv2d(16, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.make(x).split(self.make.out_channels // 2, dim=1)
        return self.join(torch.cat([self.left(a), self.right(b)], dim=1))


class TwoBranchesByShape(TwoBranches):
    def forward(self, x: Tensor) -> Tensor:
        a, b = self.make(x).chunk(2, dim=1)
        return self.join(torch.cat([self.left(a), self.right(b)], dim=1))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(4, 8), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.InstanceNorm2d(16, affine=True))
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.out = nn.Conv2d(16, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.down(x)
        return self.out(torch.cat([wide, self.up(F.leaky_relu(self.deep(wide)))], 1))


class DenseBlock(nn.Module):
    def __init__(self, count: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(8 + 4 * i), nn.ReLU(), nn.Conv2d(8 + 4 * i, 4, 3, padding=1))
            for i in range(count)
        )
        self.last = nn.Conv2d(8 + 4 * count, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return self.last(x)


class Shuffle(nn.Module):
    """A channel shuffle between two grouped convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 1)
        self.grouped = nn.Conv2d(16, 16, 3, padding=1, groups=4)
        self.second = nn.Conv2d(16, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.grouped(self.first(x))
        n, c, h, w = x.shape
        return self.second(x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w))


class Loop(nn.Module):
    """Residual blocks in a ModuleList, walked by a Python loop."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.ModuleList(Residual(8) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x


class Attributes(nn.Module):
    """Residual blocks as attributes and in a plain list of them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.block1, self.block2, self.block3 = Residual(8), Residual(8), Residual(8)
        self.chain = [self.block1, self.block2, self.block3]

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.chain:
            x = block(x)
        return x


class SharedBlock(nn.Module):
    """One module that is used twice, and two that hold one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.twice = nn.Conv2d(8, 8, 3, padding=1)
        self.one = nn.Conv2d(8, 8, 1)
        self.two = nn.Conv2d(8, 8, 1)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.two(self.one(self.twice(torch.relu(self.twice(x)))))


class Sequence1d(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 16, 5, padding=2)
        self.norm = nn.BatchNorm1d(16)
        self.act = nn.PReLU(16)
        self.depthwise = nn.Conv1d(16, 32, 3, groups=16)
        self.head = nn.Linear(32 * 3, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.adaptive_avg_pool1d(self.depthwise(self.act(self.norm(self.conv(x.flatten(2))))), 3)
        return self.head(x.flatten(1))


class NormedMlp(nn.Module):
    """A layer norm over a width: it may shrink, but its statistics change."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(3 * 36, 16)
        self.norm = nn.LayerNorm(16)
        self.hidden = nn.Linear(16, 32)
        self.leave = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.leave(F.gelu(self.hidden(self.norm(self.enter(x.flatten(1))))))


# -- awkward ones: a part of each must be refused, and the rest must work ----------------------


PLAIN = {
    "residual": lambda: Headed(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Sequential(Residual(8), Residual(8))), 8),
    "gated_chunk": lambda: Headed(GatedChunk(), 8),
    "two_branches": lambda: Headed(TwoBranchesByShape(), 8),
    "unet": UNet,
    "dense": lambda: Headed(DenseBlock(), 8),
    "shuffle": lambda: Headed(Shuffle(), 8),
    "loop": lambda: Headed(Loop(), 8),
    "attributes": lambda: Headed(Attributes(), 8),
    "shared": lambda: Headed(SharedBlock(), 8),
    "sequence": Sequence1d,
    "normed_mlp": NormedMlp,
}
AWKWARD = {
    "hard_view": HardView,
    "fourier": lambda: Headed(Fourier(), 8),
    "closure": lambda: Headed(Closure(), 8),
    "write_into": lambda: Headed(WriteInto(), 8),
    "heads": lambda: Headed(Heads(), 16),
    "split_by_attribute": lambda: Headed(TwoBranches(), 8),
}


def example(batch: int = 2) -> Tensor:
    """An input that every model here takes."""
    return torch.randn(batch, 3, 6, 6, generator=torch.Generator().manual_seed(0))
