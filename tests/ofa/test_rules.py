import pytest
import torch

import ofa
from ofa.models import MobileNet, ResNet
from ofa.models.mobilenet_stage import DEFAULT_STAGES
from tests.ofa.nets import SHAPE


def resnet(rules: ofa.SpaceRules) -> ofa.Space:
    return ofa.Supernet(ResNet(SHAPE, 10, depth=20), torch.randn(2, *SHAPE), rules).space


def test_widths_are_multiples_of_eight_by_default() -> None:
    space = resnet(ofa.SpaceRules())
    widths = [choice for choice in space.choices if choice.kind == "width"]
    assert widths
    assert all(value % 8 == 0 for choice in widths for value in choice.values)
    assert {choice.values for choice in widths} == {(8, 16), (8, 16, 24, 32), (16, 32, 48, 64)}


def test_patterns_fix_and_widen() -> None:
    names = [choice.name for choice in resnet(ofa.SpaceRules()).choices if choice.kind == "width"]
    last = names[-1]
    space = resnet(ofa.SpaceRules(fix=[names[0]], width_ratios_for={last: [0.5, 0.625, 1]}, min_depth=2))
    assert f"width.{names[0]}" not in space.by_key
    assert space.by_key[f"width.{last}"].values == (32, 40, 64)
    assert all(choice.values == (2, 3) for choice in space.choices if choice.kind == "depth")


def test_a_ratio_of_one_everywhere_leaves_depth_alone() -> None:
    space = resnet(ofa.SpaceRules(width_ratios=[1.0]))
    assert {choice.kind for choice in space.choices} == {"depth"}


def test_no_ratios_open_every_multiple() -> None:
    space = resnet(ofa.SpaceRules(width_ratios=None, multiple_of=4, min_depth=99))
    for choice in space.choices:
        assert choice.kind == "width"
        assert choice.values == tuple(range(4, choice.values[-1] + 1, 4))


def test_kernels_open_by_pattern() -> None:
    rules = ofa.SpaceRules(kernel_sizes={"*depthwise": [3, 5]})
    space = ofa.Supernet(MobileNet(SHAPE, 10, stages=DEFAULT_STAGES[:3]), torch.randn(2, *SHAPE), rules).space
    kernels = [choice for choice in space.choices if choice.kind == "kernel_size"]
    assert kernels and all(choice.values == (3, 5) for choice in kernels)


@pytest.mark.parametrize(
    ("rules", "part"),
    [
        ({"width_ratios": [0]}, "over 0 and at most 1"),
        ({"width_ratios": [1.5]}, "over 0 and at most 1"),
        ({"width_ratios": []}, "fractions"),
        ({"width_ratios_for": {"*": [float("nan")]}}, "fractions"),
        ({"multiple_of": 0}, "whole number of channels"),
        ({"multiple_of": 2.5}, "whole number of channels"),
        ({"min_depth": -1}, "whole number of blocks"),
        ({"kernel_sizes": {"*": [4]}}, "odd sizes"),
    ],
)
def test_rules_are_checked(rules: dict[str, object], part: str) -> None:
    with pytest.raises(ofa.InvalidInput, match=part):
        ofa.SpaceRules(**rules)  # type: ignore[arg-type]


def test_a_pattern_that_matches_nothing_names_near_ones() -> None:
    with pytest.raises(ofa.InvalidInput, match="matches no layer that can vary; did you mean"):
        resnet(ofa.SpaceRules(fix=["stages.0.0.conv"]))
