"""Models whose widths pass norms and reductions, run only in training, or name a type of their own."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Between(nn.Module):
    """linear (8 features) -> a function -> linear."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(6, 8), nn.Linear(8, 5)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.leave(self.function(self.enter(x)))


class GlobalResponse(nn.Module):
    """A ConvNeXt V2 block's global response norm (Woo et al. 2023)."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 5, 1)
        self.scale, self.shift = nn.Parameter(torch.zeros(1, 8, 1, 1)), nn.Parameter(torch.zeros(1, 8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        size = x.norm(dim=(2, 3), keepdim=True)
        return self.leave(x + self.shift + self.scale * x * size / (size.mean(1, keepdim=True) + 1e-6))


class StandardizedConv(nn.Conv2d):
    """Weight standardization (Qiao et al. 2019), written out."""

    def forward(self, x: Tensor) -> Tensor:
        mean = self.weight.mean((1, 2, 3), keepdim=True)
        deviation = self.weight.std((1, 2, 3), keepdim=True, unbiased=False)
        return F.conv2d(x, (self.weight - mean) / (deviation + 1e-5), self.bias, self.stride, self.padding)


class NormStandardizedConv(nn.Conv2d):
    """Weight standardization by a batch norm over the weight, as timm does it."""

    def forward(self, x: Tensor) -> Tensor:
        rows = self.weight.reshape(1, self.out_channels, -1)
        weight = F.batch_norm(rows, None, None, training=True, momentum=0.0, eps=1e-5).reshape_as(self.weight)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


def standardized(kind: type[nn.Conv2d]) -> nn.Module:
    """Two standardized convolutions, an activation that is not zero at zero between them."""
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Sigmoid(), kind(8, 6, 3), nn.Sigmoid(), nn.Conv2d(6, 5, 1))


class Halves(nn.Module):
    """Two halves of a width go different ways: which channel goes which way depends on the width."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.enter, self.norm, self.leave = nn.Linear(6, 8), norm, nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.enter(x))
        k = h.shape[-1] // 2
        return self.leave(torch.cat([h[..., :k].sin(), h[..., k:].cos()], -1))


class Auxiliary(nn.Module):
    """A second head that runs in training alone, behind layers that run in both modes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Conv2d(8, 5, 1)
        self.aux = nn.Sequential(nn.Conv2d(8, 12, 1), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 5, 1))

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.body(x)
        return (self.head(x), self.aux(x)) if self.training else self.head(x)


class TiedInTraining(nn.Module):
    """Two widths that meet in training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(6, 8)
        self.leave_first, self.leave_second = nn.Linear(8, 5), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.first(x), self.second(x)
        return self.leave_first(a + b if self.training else a) + self.leave_second(b)


class Typed(nn.Module):
    """A model whose forward names float32."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.enter, self.middle, self.leave = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 5)
        self.table = torch.linspace(1, 2, 4)
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "cast":
            x = x.float() / 255
        x = torch.relu(self.enter(x))
        if self.way == "identity":
            x = torch.eye(2) @ x
        if self.way == "table":
            x = (x[..., None] @ self.table[None]).sum(-1)
        return self.leave(self.middle(x))
