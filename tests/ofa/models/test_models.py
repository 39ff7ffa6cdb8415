"""Every model: shapes, sizes of the literature, names, and clear refusals."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from ofa.errors import InvalidInput
from ofa.models import LeNet5, LeNet5Caffe, LeNet300, MobileNet, ResNet, Stage
from ofa.models.mobilenet import InvertedResidual
from ofa.models.mobilenet_stage import drop_strides
from ofa.models.resnet import ResidualBlock

Build = Callable[..., nn.Module]
MODELS: list[Build] = [LeNet300, LeNet5, ResNet, MobileNet]
SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 20, 36)]


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("build", MODELS)
@pytest.mark.parametrize("shape", SHAPES)
def test_logits_have_a_column_a_class(build: Build, shape: tuple[int, int, int]) -> None:
    model = build(input_shape=shape, num_classes=7).eval()
    images = torch.randn(2, *shape)
    logits = model(images)
    assert logits.shape == (2, 7)
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(model(images[1:]), logits[1:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("build", MODELS)
def test_every_parameter_gets_a_gradient(build: Build) -> None:
    torch.manual_seed(0)
    model = build((3, 16, 16), 5)
    model(torch.randn(8, 3, 16, 16)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("build", MODELS)
def test_signals_neither_vanish_nor_explode(build: Build) -> None:
    torch.manual_seed(0)
    logits = build((3, 32, 32), 10)(torch.randn(32, 3, 32, 32))
    assert 0.02 < logits.std() < 20


def test_sizes_of_the_literature() -> None:
    assert parameters(LeNet300((1, 28, 28), 10)) == 266_610
    assert parameters(LeNet5((1, 28, 28), 10)) == 61_706
    assert parameters(LeNet5Caffe((1, 28, 28), 10)) == 431_080
    # He et al. 2016, table 6: 0.27 M, 0.46 M and 0.85 M.
    assert parameters(ResNet(depth=20, shortcut="pad")) == 269_722
    assert parameters(ResNet(depth=32, shortcut="pad")) == 464_154
    assert parameters(ResNet(depth=56, shortcut="pad")) == 853_018


def test_lenet5_sizes_its_linear_layer_for_any_image() -> None:
    for side in (4, 5, 8, 15, 16, 17, 28, 33, 64):
        assert LeNet5((1, side, side), 3)(torch.randn(1, 1, side, side)).shape == (1, 3)


def test_lenet5_norm_layers_are_an_option() -> None:
    assert not any(isinstance(module, nn.BatchNorm2d) for module in LeNet5().modules())
    assert sum(isinstance(module, nn.BatchNorm2d) for module in LeNet5(batch_norm=True).modules()) == 2


@pytest.mark.parametrize("shortcut", ["conv", "pad"])
def test_resnet_blocks_after_the_first_keep_shapes(shortcut: str) -> None:
    model = ResNet((3, 16, 16), depth=20, shortcut=shortcut, widths=(8, 16, 24))
    for stage, width in zip(model.stages, (8, 16, 24), strict=True):
        assert isinstance(stage, nn.Sequential) and len(stage) == 3
        for block in list(stage)[1:]:
            assert isinstance(block, ResidualBlock) and isinstance(block.shortcut, nn.Identity)
            maps = torch.randn(1, width, 4, 4)
            assert block(maps).shape == maps.shape


def test_resnet_pad_shortcut_is_a_strided_copy_between_zeros() -> None:
    shortcut = ResNet((3, 16, 16), depth=8, shortcut="pad").stages[1][0].shortcut
    maps = torch.randn(2, 16, 6, 6)
    padded = shortcut(maps)
    assert padded.shape == (2, 32, 3, 3)
    assert torch.equal(padded[:, 8:24], maps[:, :, ::2, ::2])
    assert padded[:, :8].abs().sum() == 0 and padded[:, 24:].abs().sum() == 0


def test_resnet_last_norms_start_at_zero_only_when_asked() -> None:
    for zero in (False, True):
        model = ResNet(depth=8, zero_last_norm=zero)
        blocks = [module for module in model.modules() if isinstance(module, ResidualBlock)]
        assert all((block.norm2.weight == 0).all() == zero for block in blocks)


def test_mobilenet_names_its_layers_readably() -> None:
    stages = [{"width": 16, "expansion": 1, "squeeze_excite": False}, {"width": 24, "blocks": 3, "stride": 2}]
    model = MobileNet((1, 8, 8), 10, stages=stages)
    layers = {name for name, module in model.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))}
    expected = {"stem.conv", "stages.1.0.expand", "stages.1.0.depthwise", "stages.1.0.project", "head.conv"}
    assert expected | {"stages.1.2.squeeze_excite.reduce", "classifier"} <= layers
    assert "stages.0.0.expand" not in layers
    assert [len(stage) for stage in model.stages] == [2, 3]


def test_mobilenet_block_is_residual_where_shapes_allow() -> None:
    stage = Stage(16, expansion=4)
    block = InvertedResidual(16, 16, 1, stage).eval()
    nn.init.zeros_(block.project_norm.weight)
    maps = torch.randn(2, 16, 5, 5)
    assert torch.equal(block(maps), maps)
    assert not InvertedResidual(16, 16, 2, stage).residual
    assert not InvertedResidual(16, 24, 1, stage).residual


@pytest.mark.parametrize(("side", "final"), [(8, 4), (16, 4), (32, 4), (64, 4), (224, 7)])
def test_mobilenet_keeps_maps_large_enough(side: int, final: int) -> None:
    model = MobileNet((3, side, side), 4).eval()
    maps = model.stem(torch.randn(1, 3, side, side))
    for stage in model.stages:
        maps = stage(maps)
    assert maps.shape[-1] == final


def test_strides_are_dropped_from_the_front() -> None:
    assert drop_strides([2, 1, 2, 2, 2], 224, 4) == [2, 1, 2, 2, 2]
    assert drop_strides([2, 1, 2, 2, 2], 32, 4) == [1, 1, 2, 2, 2]
    assert drop_strides([2, 1, 2, 2, 2], 8, 4) == [1, 1, 1, 1, 2]
    assert drop_strides([2, 1, 2, 2, 2], 8, 1) == [2, 1, 2, 2, 2]
    assert drop_strides([2, 2], 2, 4) == [1, 1]


REFUSED = [
    (lambda: LeNet300((28, 28), 10), "input_shape=(28, 28)"),
    (lambda: LeNet300((1, 28, 28), 0), "num_classes=0"),
    (lambda: LeNet300(hidden=(300, -1)), "hidden=(300, -1)"),
    (lambda: LeNet5((1, 3, 8), 10), "at least 4 pixels"),
    (lambda: LeNet5(channels=(6,)), "channels=(6,)"),
    (lambda: LeNet5Caffe((1, 8, 8), 10), "at least 16 pixels"),
    (lambda: LeNet5Caffe(channels=(20, 50, 9)), "channels=(20, 50, 9)"),
    (lambda: ResNet(depth=21), "the nearest is 20"),
    (lambda: ResNet(depth=2), "the nearest is 8"),
    (lambda: ResNet(shortcut="padd"), "did you mean pad?"),
    (lambda: ResNet(shortcut="pad", widths=(32, 16, 64)), "not shrinking"),
    (lambda: ResNet(widths=(16, 32)), "three widths"),
    (lambda: MobileNet(stages=[]), "at least one stage"),
    (lambda: MobileNet(stages=[{"widht": 16}]), "did you mean width?"),
    (lambda: MobileNet(stages=[{"blocks": 2}]), "lacks width"),
    (lambda: MobileNet(stages=[16]), "give a mapping"),
    (lambda: MobileNet(stages=[Stage(16)], dropout=1.0), "dropout=1.0"),
    (lambda: MobileNet(stages=[Stage(16)], hidden=-1), "hidden=-1"),
    (lambda: Stage(16, kernel_size=4), "must be odd"),
    (lambda: Stage(16, activation="swish"), "did you mean hardswish?"),
    (lambda: Stage(16, expansion=0.5), "expansion=0.5"),
]


@pytest.mark.parametrize(("build", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_sizes_that_do_not_fit_are_refused_in_one_line(build: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        build()
    assert message in str(error.value)
    assert "\n" not in str(error.value)
