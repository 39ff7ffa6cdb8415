"""Learned kernels: identities are the plain crop; others, the wide network with the transformed kernel inside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ofa
from ofa.errors import InvalidInput
from ofa.kernel_transforms import is_kernel_transform
from ofa.randomize import randomize_

RULES = ofa.SpaceRules(multiple_of=4, kernel_sizes={"*": [1, 3, 5]}, kernel_transforms=True)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 7, padding=3)
        self.depthwise = nn.Conv2d(8, 8, 5, padding="same", groups=8, dilation=2)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Conv2d(8, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.norm(self.depthwise(self.stem(images)).relu())).mean((2, 3))


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def made(images: Tensor, rules: ofa.SpaceRules = RULES) -> ofa.Supernet:
    return ofa.Supernet(Net().double(), images, rules)


def by_hand(weight: Tensor, matrices: list[tuple[int, Tensor]]) -> Tensor:
    """The kernel after some steps, entry by entry."""
    for size, matrix in matrices:
        rim = (weight.shape[-1] - size) // 2
        center = weight[:, :, rim : rim + size, rim : rim + size].reshape(*weight.shape[:2], -1)
        weight = torch.einsum("oij,kj->oik", center, matrix).reshape(*weight.shape[:2], size, size)
    return weight


@pytest.mark.parametrize("size", [7, 5, 3, 1])
def test_a_smaller_kernel_is_the_transformed_center(images: Tensor, size: int) -> None:
    supernet = made(images)
    randomize_(supernet.model)
    arch = supernet.space.arch({"kernel_size.stem": size})
    stem = supernet.model.stem
    steps = [
        (small, stem.get_parameter(f"kernel_transform_{small + 2}_to_{small}")) for small in range(5, size - 1, -2)
    ]
    expected = by_hand(stem.weight, steps)
    view, extracted = supernet.subnet(arch), supernet.extract(arch)
    torch.testing.assert_close(view.stem.weight, expected, rtol=1e-12, atol=1e-12)
    assert not [name for name, _ in extracted.named_parameters() if is_kernel_transform(name)]
    with torch.no_grad():
        wide = torch.nn.functional.pad(expected, ((7 - size) // 2,) * 4)
        full = torch.func.functional_call(supernet.model.eval(), {"stem.weight": wide}, (images,))
        torch.testing.assert_close(extracted.eval()(images), full, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(view.eval()(images), full, rtol=1e-12, atol=1e-12)


def test_fresh_transforms_are_the_plain_crop(images: Tensor) -> None:
    torch.manual_seed(0)
    learned = made(images)
    torch.manual_seed(0)
    plain = made(images, ofa.SpaceRules(multiple_of=4, kernel_sizes={"*": [1, 3, 5]}))
    assert learned.space == plain.space
    rng = np.random.default_rng(0)
    for arch in [plain.space.sample(rng) for _ in range(10)]:
        with torch.no_grad():
            torch.testing.assert_close(
                learned.extract(arch)(images), plain.extract(arch)(images), rtol=1e-12, atol=1e-12
            )
        for name, values in ofa.cost(plain, [arch]).items():
            assert ofa.cost(learned, [arch])[name].tolist() == values.tolist()


@pytest.mark.parametrize("accumulate", [False, True])
def test_gradients_reach_weights_and_the_steps_that_were_taken(images: Tensor, accumulate: bool) -> None:
    supernet = made(images)
    randomize_(supernet.model)
    for parameter in supernet.parameters():
        parameter.grad = torch.zeros_like(parameter)
    view = supernet.subnet(supernet.space.arch({"kernel_size.stem": 5}), accumulate=accumulate)
    view(images).square().sum().backward()
    stem = supernet.model.stem
    assert stem.weight.grad.abs().sum() > 0
    assert stem.get_parameter("kernel_transform_7_to_5").grad.abs().sum() > 0
    assert stem.get_parameter("kernel_transform_5_to_3").grad.abs().sum() == 0


def test_they_are_saved_and_loaded(images: Tensor, tmp_path: Path) -> None:
    supernet = made(images)
    randomize_(supernet.model)
    loaded = ofa.load(ofa.save(supernet, tmp_path / "supernet"), Net().double())
    arch = supernet.space.smallest
    with torch.no_grad():
        assert torch.equal(loaded.extract(arch)(images), supernet.extract(arch)(images))


def test_a_model_with_transforms_is_converted_again_with_the_same_sizes_alone(images: Tensor) -> None:
    supernet = made(images)
    randomize_(supernet.model)
    again = ofa.Supernet(supernet.model, images, RULES)
    with torch.no_grad():
        arch = again.space.smallest
        assert torch.equal(again.extract(arch)(images), supernet.extract(arch)(images))
    other = ofa.SpaceRules(multiple_of=4, kernel_sizes={"*": [3]}, kernel_transforms=True)
    with pytest.raises(InvalidInput, match="of a supernet with other kernel sizes"):
        ofa.Supernet(supernet.model, images, other)


def test_transforms_without_kernel_sizes_are_refused() -> None:
    with pytest.raises(InvalidInput, match="needs kernel_sizes"):
        ofa.SpaceRules(kernel_transforms=True)
