"""Peak activation memory in closed form equals that of a run of the extracted net, byte for byte."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ofa
from tests.ofa.nets import SHIPPED, from_zoo, shipped
from tests.ofa.zoo import AWKWARD, PLAIN, Residual


def check(supernet: ofa.Supernet, archs: list[ofa.Arch]) -> list[int]:
    """Compares every Arch with a run, and returns the peaks."""
    peaks = ofa.peak_activation_bytes(supernet, archs)
    assert peaks.dtype == np.int64 and peaks.shape == (len(archs),)
    runs = [ofa.measure_peak_activation_bytes(supernet.extract(arch), supernet.example_input) for arch in archs]
    assert peaks.tolist() == runs
    return runs


def some(supernet: ofa.Supernet, count: int) -> list[ofa.Arch]:
    rng = np.random.default_rng(1)
    space = supernet.space
    return [space.largest, space.smallest, *(space.sample(rng) for _ in range(count))]


def elastic(model: nn.Module, **rules: object) -> ofa.Supernet:
    everything = {"multiple_of": 1, "width_ratios": (0.25, 0.5, 1.0), "min_depth": 0, **rules}
    return ofa.Supernet(model.eval(), torch.randn(2, 3, 6, 6), ofa.SpaceRules(**everything))  # type: ignore[arg-type]


SLOW = {"mobilenet", "resnet32", "resnet56"}
MODELS = [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in SHIPPED]


@pytest.mark.parametrize("name", MODELS)
def test_shipped_models(name: str) -> None:
    supernet, _ = shipped(name)
    check(supernet, some(supernet, count=6))


def test_one_head_runs_other_ops_than_several() -> None:
    supernet, _ = from_zoo("heads")
    with pytest.raises(ofa.InvalidInput, match=r"no closed form.*view\.default where the whole model runs aten\.clone"):
        ofa.peak_activation_bytes(supernet, [supernet.space.largest])


@pytest.mark.parametrize("name", sorted({*PLAIN, *AWKWARD} - {"heads"}))
def test_other_peoples_models(name: str) -> None:
    supernet, _ = from_zoo(name)
    if name == "heads":  # of a single head, what is copied for several is a view
        with pytest.raises(ofa.InvalidInput, match="use measure_peak_activation_bytes on each extracted net"):
            check(supernet, some(supernet, count=10))
        return
    check(supernet, some(supernet, count=10))


class Skip(nn.Module):
    """A stage that can go altogether, whose input is needed again after it."""

    def __init__(self, blocks: int, parallel: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.left = nn.Sequential(*(Residual(8) for _ in range(blocks)))
        self.right = nn.Sequential(*(Residual(8) for _ in range(blocks)))
        self.out = nn.Conv2d(24, 5, 1)
        self.parallel = parallel

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        y = self.left(x)
        z = self.right(x if self.parallel else y)
        return self.out(torch.cat([x, y, z], 1))


@pytest.mark.parametrize("parallel", [False, True])
def test_inputs_that_outlive_a_dropped_stage(parallel: bool) -> None:
    supernet = elastic(Skip(2, parallel))
    space = supernet.space
    depths = [dict(zip(("depth.left", "depth.right"), pair, strict=True)) for pair in product(range(3), repeat=2)]
    check(supernet, [space.arch({**values, "width.stem": width}) for values in depths for width in (2, 8)])
    # Maps are 144 bytes a channel. The last layer runs beside the input, x, y and z; without blocks those are one.
    assert check(supernet, [space.arch({"depth.left": 0, "depth.right": 0})]) == [144 * (3 + 8 + 24 + 5)]
    assert check(supernet, [space.largest]) == [144 * (3 + 3 * 8 + 24 + 5)]


class InPlace(nn.Module):
    """A block that writes into its own input, and shares its activation with the others."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return x.add_(self.activation(self.conv(x)))


class Keeping(nn.Module):
    """A block that keeps what it made: that lives on after the block."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.kept: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.kept = F.relu(self.conv(x))
        return x + self.kept * 2


class Chain(nn.Module):
    def __init__(self, block: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.Sequential(*(block() for _ in range(3)))
        self.last = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.blocks(F.relu(self.stem(x))))


def test_blocks_that_write_into_their_input_and_blocks_that_keep_what_they_made() -> None:
    shared = nn.ReLU(inplace=True)
    blocks: list[Callable[[], nn.Module]] = [lambda: InPlace(shared), Keeping]
    for block in blocks:
        supernet = elastic(Chain(block))
        assert supernet.space.by_key["depth.blocks"].values == (0, 1, 2, 3)
        check(supernet, some(supernet, count=12))


class Padded(nn.Module):
    """Its padding is an op of its own, and its weight an activation: both are as large as the kernel makes them."""

    class Scaled(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            weight = self.weight * torch.full_like(self.weight, 2.0)
            return F.conv2d(x, weight, self.bias, padding=self.padding)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 5, padding=2, padding_mode="reflect")
        self.second = self.Scaled(16, 8, 5, padding=2)
        self.last = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.second(F.relu(self.first(x)))))


def test_kernel_sizes_count_where_they_change_what_is_alive() -> None:
    supernet = elastic(Padded(), kernel_sizes={"first": [3, 5], "second": [1, 3, 5]})
    check(supernet, some(supernet, count=12))
    small, large = (supernet.space.arch({"kernel_size.second": size}) for size in (1, 5))
    peaks = ofa.peak_activation_bytes(supernet, [small, large])
    assert peaks[0] < peaks[1]


def test_it_grows_with_width_and_runs_once() -> None:
    supernet, _ = shipped("resnet20_conv")
    rng = np.random.default_rng(2)
    terms = supernet.memory_terms()
    pairs = []
    for choice in supernet.space.choices:
        values = supernet.space.arch_values(rng)
        pairs += [supernet.space.arch({**values, choice.key: choice.values[i]}) for i in (0, -1)]
    peaks = ofa.peak_activation_bytes(supernet, pairs).reshape(-1, 2)
    assert (peaks[:, 0] <= peaks[:, 1]).all() and (peaks[:, 0] < peaks[:, 1]).any()
    assert supernet.memory_terms() is terms


def test_many_are_computed_as_one_by_one_and_nothing_gives_an_empty_array() -> None:
    supernet, _ = from_zoo("loop")
    rng = np.random.default_rng(3)
    archs = [supernet.space.sample(rng) for _ in range(5000)]
    peaks = ofa.peak_activation_bytes(supernet, archs)
    for i in (0, 4095, 4096, 4999):
        assert ofa.peak_activation_bytes(supernet, [archs[i]]).tolist() == [peaks[i]]
    assert ofa.peak_activation_bytes(supernet, []).shape == (0,)
