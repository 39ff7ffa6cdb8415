"""One op between two convolutions: what it leaves elastic, and that what passes is exact."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ofa
from ofa.randomize import randomize_


class Between(nn.Module):
    """convolution (8 channels) -> op -> convolution -> mean -> linear."""

    def __init__(self, op: Callable[[Tensor], Tensor], channels: int = 8) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.op = op
        self.second = nn.Conv2d(channels, 6, 1)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.op(self.first(x))).mean((2, 3)))


def groups_of(op: Callable[[Tensor], Tensor], channels: int = 8) -> dict[str, tuple[int, int]]:
    """Group name -> (units, channels a unit); the subnets of what was found are checked against zeroing."""
    torch.manual_seed(0)
    model = randomize_(Between(op, channels).double().eval())
    images = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    supernet = ofa.Supernet(model, images, ofa.SpaceRules(multiple_of=1))
    rng = np.random.default_rng(0)
    for _ in range(5):
        arch = supernet.space.sample(rng)
        with torch.no_grad():
            torch.testing.assert_close(
                supernet.subnet(arch)(images), supernet.extract(arch)(images), rtol=1e-10, atol=1e-10
            )
    return {group.name: (group.units, group.channels_per_unit) for group in supernet.groups}


SAME = {
    "relu": torch.relu,
    "hardswish": F.hardswish,
    "scaled": lambda x: 2 * x + 1,
    "softplus in place of nothing": F.softplus,
    "relu_": lambda x: F.relu(x, inplace=True),
    "mul_ of itself": lambda x: x.clone().mul_(x),
    "clamp": lambda x: x.clamp(-1, 1),
    "where": lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
    "zeros added": lambda x: x + torch.zeros_like(x),
    "max pool": lambda x: F.max_pool2d(x, 2),
    "average pool": lambda x: F.avg_pool2d(x, 2),
    "adaptive pool": lambda x: F.adaptive_avg_pool2d(x, 2),
    "adaptive max pool": lambda x: F.adaptive_max_pool2d(x, 2),
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "bilinear": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "zero padding of the border": lambda x: F.pad(x, (1, 1, 1, 1)),
    "reflected border": lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"),
    "permuted there and back": lambda x: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2),
    "flattened there and back": lambda x: x.flatten(2).unflatten(2, (6, 6)),
    "rolled over positions": lambda x: x.roll(1, 2),
    "flipped over positions": lambda x: x.flip(3),
    "strided positions": lambda x: x[:, :, ::2, 1:],
    "spatial softmax": lambda x: x.flatten(2).softmax(2).unflatten(2, (6, 6)),
    "gated by its spatial mean": lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
    "spatial standard deviation": lambda x: x / (x.std((2, 3), keepdim=True) + 1),
    "stacked and summed": lambda x: torch.stack([x, x.relu()], 0).sum(0),
    "two chunks of positions": lambda x: torch.cat(x.chunk(2, 2), 2),
    "half precision and back": lambda x: x.to(torch.float32).to(x.dtype),
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last) * 1,
    "windows and back": lambda x: F.fold(F.unfold(x, 3, padding=1), (6, 6), 3, padding=1),
    "means of windows": lambda x: F.unfold(x, 2, stride=2).unflatten(1, (-1, 4)).mean(2).unflatten(2, (3, 3)),
    "windows of one dimension": lambda x: x.unfold(2, 2, 2).mean(-1),
    "sampled at a grid": lambda x: F.grid_sample(x, torch.ones(2, 4, 4, 2, dtype=x.dtype) / 3, align_corners=False),
    "largest positions": lambda x: x.flatten(2).topk(9, 2).values.unflatten(2, (3, 3)),
    "sorted positions": lambda x: x.flatten(2).sort(2).values.unflatten(2, (6, 6)),
    "cumulative over positions": lambda x: x.cummax(2).values,
    "indexed by three tensors": lambda x: x[
        torch.arange(2).view(2, 1, 1), :, torch.arange(3).view(1, 3, 1), torch.arange(2).view(1, 1, 2)
    ].permute(0, 3, 1, 2),
    "added by an index": lambda x: torch.zeros_like(x[:, :, :3]).index_add(2, torch.tensor([0, 1, 2, 0, 1, 2]), x),
    "masked positions": lambda x: x[:, :, torch.tensor([True, False, True, True, False, True])],
    "fourier over positions": lambda x: torch.fft.irfft2(torch.fft.rfft2(x) * torch.fft.rfft2(x.relu()), s=(6, 6)),
    "real parts": lambda x: torch.view_as_real(torch.fft.fft2(x)).sum(-1),
    "complex numbers": lambda x: torch.view_as_complex(torch.stack([x, x.relu()], -1)).abs(),
    "complex products": lambda x: (torch.complex(x, x) * torch.polar(x.abs(), x)).real,
    "gated halves of positions": lambda x: F.glu(x, 2),
    "unpooled": lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2),
    "cross product": lambda x: torch.linalg.cross(x[:, :, :3], x[:, :, 3:], dim=2),
    "lower triangle": lambda x: x.tril(),
    "diagonal": lambda x: x.diagonal(dim1=2, dim2=3)[..., None],
    "weighted by distances": lambda x: (
        x * torch.cdist(x.flatten(2).mT, x.flatten(2).mT).mean((1, 2))[:, None, None, None]
    ),
    "put": lambda x: x.index_put((torch.tensor([0]),), torch.zeros((), dtype=x.dtype)),
    "turned": lambda x: x.rot90(1, (2, 3)),
    "in buckets": lambda x: x * torch.bucketize(x, torch.tensor([0.0, 1.0], dtype=x.dtype)),
    "outer sums": lambda x: x.mean(3)[:, :, :, None] * x.mean(2)[:, :, None, :],
    "products of positions": lambda x: torch.einsum("nchw,nchv->ncwv", x, x),
    "control flow": lambda x: x.relu() if x.shape[0] > 1 else x,
}


@pytest.mark.parametrize("name", SAME)
def test_ops_over_positions_and_values_keep_channels_elastic(name: str) -> None:
    assert groups_of(SAME[name]) == {"first": (8, 1), "second": (6, 1)}


@pytest.mark.parametrize(
    ("name", "op", "channels", "first"),
    [
        ("gated halves", lambda x: x.chunk(2, 1)[0] * x.chunk(2, 1)[1].sigmoid(), 4, (4, 2)),
        ("pairs summed by a view", lambda x: x.view(x.shape[0], 2, -1, *x.shape[2:]).sum(1), 4, (4, 2)),
        ("gated halves of channels", lambda x: F.glu(x, 1), 4, (4, 2)),
        ("doubled by cat", lambda x: torch.cat([x, x], 1), 16, (8, 1)),
        ("repeated", lambda x: x.repeat(1, 2, 1, 1), 16, (8, 1)),
        ("pixel shuffle", lambda x: F.pixel_shuffle(x, 2), 2, (2, 4)),
        ("flattened into channels", lambda x: x.flatten(1)[:, :, None, None], 288, (8, 1)),
        ("constant channels", lambda x: F.pad(x, (0, 0, 0, 0, 2, 2)), 12, (8, 1)),
        ("channel softmax", lambda x: x.softmax(1), 8, (8, 1)),
        ("channel mean", lambda x: x - x.mean(1, keepdim=True), 8, (8, 1)),
        ("channel maximum", lambda x: x * x.amax(1, keepdim=True), 8, (8, 1)),
        ("sorted", lambda x: x.sort(1).values, 8, None),
        ("cumulative sum", lambda x: x.cumsum(1), 8, (8, 1)),
        ("a table of constants", lambda x: x * torch.arange(8.0, dtype=x.dtype).view(8, 1, 1), 8, None),
        ("every second channel", lambda x: x[:, ::2], 4, (4, 2)),
        ("rolled channels", lambda x: x.roll(1, 1), 8, None),
        ("first five channels", lambda x: x[:, :5], 5, None),
        ("gram matrix", lambda x: (x.flatten(2) @ x.flatten(2).mT)[..., None], 8, None),
        ("a branch taken by all channels", lambda x: x if x.sum() > 0 else -x, 8, (8, 1)),
        ("fourier", lambda x: torch.fft.fft(x, dim=1).real, 8, None),
    ],
)
def test_ops_over_channels_tie_or_refuse(
    name: str, op: Callable[[Tensor], Tensor], channels: int, first: tuple[int, int] | None
) -> None:
    groups = groups_of(op, channels)
    assert groups.get("first") == first
    assert groups["second"] == (6, 1)
