"""The models as supernets: choices named as a person would, the classifier alone fixed, subnets equal to extracts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import ofa
from ofa.models import LeNet5, LeNet300, MobileNet, ResNet

STAGES = [
    {"width": 16, "blocks": 1, "expansion": 1, "squeeze_excite": False, "activation": "relu"},
    {"width": 24, "blocks": 2, "stride": 2, "expansion": 4},
]
CASES: list[tuple[Callable[[], nn.Module], tuple[int, int, int], set[str]]] = [
    (lambda: LeNet300((1, 8, 8)), (1, 8, 8), {"width.hidden.0", "width.hidden.1"}),
    (
        lambda: LeNet5((1, 8, 8), channels=(16, 32), batch_norm=True),
        (1, 8, 8),
        {"width.conv1", "width.conv2", "width.linear1", "width.linear2"},
    ),
    (
        lambda: ResNet((3, 8, 8), depth=14),
        (3, 8, 8),
        {"depth.stages.0", "depth.stages.1", "depth.stages.2", "width.stem.conv", "width.stages.2.0.conv2"},
    ),
    (
        lambda: ResNet((3, 8, 8), depth=14, shortcut="pad"),
        (3, 8, 8),
        {"depth.stages.0", "depth.stages.1", "depth.stages.2", "width.stem.conv", "width.stages.2.0.conv1"},
    ),
    (
        lambda: MobileNet((1, 8, 8), stages=STAGES, head_width=64),
        (1, 8, 8),
        {
            "depth.stages.1",
            "width.stem.conv",
            "width.stages.1.0.expand",
            "width.stages.1.0.squeeze_excite.reduce",
            "width.stages.1.0.project",
            "width.head.conv",
        },
    ),
]


@pytest.mark.parametrize(
    ("build", "shape", "expected"), CASES, ids=["LeNet300", "LeNet5", "ResNet", "pad", "MobileNet"]
)
def test_choices_are_named_and_subnets_agree(
    build: Callable[[], nn.Module], shape: tuple[int, int, int], expected: set[str]
) -> None:
    torch.manual_seed(0)
    model = build().double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    images = torch.randn(3, *shape, dtype=torch.float64)
    supernet = ofa.Supernet(model, images)
    keys = {choice.key for choice in supernet.space.choices}
    assert expected <= keys
    # Whatever can be elastic is: the layers without a choice are the classifier and those that follow another layer.
    fixed = [line for line in str(supernet.report()).splitlines() if " fixed " in line and " stage " not in line]
    assert all(line.split()[0] == "classifier" for line in fixed), fixed
    rng = np.random.default_rng(0)
    for arch in (supernet.space.largest, supernet.space.smallest, supernet.space.sample(rng)):
        subnet, extract = supernet.subnet(arch).eval(), supernet.extract(arch).eval()
        torch.testing.assert_close(subnet(images), extract(images), rtol=1e-10, atol=1e-10)
    whole = supernet.subnet(supernet.space.largest).eval()
    torch.testing.assert_close(whole(images), model(images), rtol=1e-10, atol=1e-10)
