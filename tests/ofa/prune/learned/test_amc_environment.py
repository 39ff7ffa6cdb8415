import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ofa
from ofa.prune.learned.amc_environment import Environment, fixed_features, make_environment
from tests.ofa.nets import shipped
from tests.ofa.prune.learned.planted import FINE, planted, vectors


@pytest.fixture(scope="module")
def resnet() -> ofa.Supernet:
    return shipped("resnet20_conv")[0]


@pytest.fixture(scope="module")
def two_layers() -> ofa.Supernet:
    return ofa.Supernet(planted((4, 16))[0], vectors(2), FINE)


def walk(environment: Environment, ratios: list[float]) -> list[int]:
    widths: list[int] = []
    for ratio in ratios:
        widths.append(environment.decide(widths, ratio))
    return widths


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.data(), st.floats(0.3, 1), st.sampled_from(["macs", "params", "bytes"]))
def test_any_actions_meet_the_budget(resnet: ofa.Supernet, data: st.DataObject, budget: float, metric: str) -> None:
    environment = make_environment(resnet, budget, metric)
    count = len(environment.choices)
    widths = walk(environment, data.draw(st.lists(st.floats(0, 1), min_size=count, max_size=count)))
    arch = environment.arch(widths)
    resnet.space.validate(arch)
    assert arch.depth == resnet.space.largest.depth
    assert ofa.cost(resnet, [arch])[metric][0] <= budget * ofa.cost(resnet, [resnet.space.largest])[metric][0]


@settings(max_examples=20, deadline=None)
@given(st.data(), st.integers(0, 2**31))
def test_a_cost_of_any_shape_meets_its_budget(two_layers: ofa.Supernet, data: st.DataObject, seed: int) -> None:
    """Even where wider is not dearer, as with measured latencies."""

    def measure(archs: list[ofa.Arch]) -> list[float]:
        return [
            0.1 if arch == least else float(np.random.default_rng([seed, *arch.width.values()]).random())
            for arch in archs
        ]

    least = two_layers.space.smallest
    full = measure([two_layers.space.largest])[0]
    budget = min(1.0, 0.11 / full) if full > 0.1 else 1.0
    if 0.1 > budget * full:
        return
    environment = make_environment(two_layers, budget, measure=measure)
    widths = walk(environment, data.draw(st.lists(st.floats(0, 1), min_size=2, max_size=2)))
    assert measure([environment.arch(widths)])[0] <= budget * full


def test_the_wall_takes_the_widest_that_still_fits(two_layers: ofa.Supernet) -> None:
    # MACs are 8 a + a b + 5 b, 464 in full; half is 232, and b is at least 1: 9 a + 5 <= 232.
    environment = make_environment(two_layers, 0.5)
    assert environment.decide([], 1.0) == 16
    assert environment.decide([16], 1.0) == (232 - 8 * 16) // 21
    assert environment.decide([4], 1.0) == 16
    assert environment.decide([4], 0.4) == 6
    tight = make_environment(two_layers, 0.2)  # 92.8: 9 a + 5 <= 92.8
    assert tight.decide([], 1.0) == 9
    assert make_environment(two_layers, None).decide([16], 1.0) == 16
    assert environment.decide([], 0.0) == 1 and environment.decide([], 0.47) == 8


def test_states_by_hand(two_layers: ofa.Supernet) -> None:
    environment = make_environment(two_layers, 0.5)
    # t, n, c, h, w, stride, k, macs; two layers, so each column is 0 or 1.
    np.testing.assert_allclose(environment.fixed, [[0, 0, 0, 0, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0, 0, 1]])
    np.testing.assert_allclose(environment.state([])[8:], [0, 256 / 464, 1])
    # With 4 of 16 in the first layer: 8 * 4 + 4 * 16 + 80 are left of 464.
    np.testing.assert_allclose(environment.state([4])[8:], [1 - 176 / 464, 0, 0.25])
    np.testing.assert_allclose(environment.state([4, 8])[8:], [1 - (32 + 32 + 40) / 464, 0, 0.5])


def test_features_of_convolutions(resnet: ofa.Supernet) -> None:
    groups = [group for group in resnet.groups if group.name in ("stem.conv", "stages.1.0.conv1", "stages.2.1.conv1")]
    training = resnet.model.training
    table = fixed_features(resnet, groups)
    assert resnet.model.training == training and not any(m._forward_pre_hooks for m in resnet.model.modules())
    # Outputs 16, 32, 64; inputs 3, 16, 64; heights 16, 16, 4 (of 16-pixel images); strides 1, 2, 1.
    np.testing.assert_allclose(table[:, 1], [0, 1 / 3, 1])
    np.testing.assert_allclose(table[:, 2], [0, 13 / 61, 1])
    np.testing.assert_allclose(table[:, 3], [1, 1, 0])
    np.testing.assert_allclose(table[:, 5], [0, 1, 0])
    assert table.min() == 0 and table.max() == 1


@pytest.mark.parametrize("name", ["lenet5", "resnet20_pad"])
def test_states_lie_between_0_and_1(name: str) -> None:
    supernet, _ = shipped(name)
    environment = make_environment(supernet, 0.6)
    generator = torch.Generator().manual_seed(0)
    widths: list[int] = []
    for _ in environment.choices:
        state = environment.state(widths)
        assert state.shape == (11,) and 0 <= state.min() and state.max() <= 1
        widths.append(environment.decide(widths, float(torch.rand((), generator=generator))))


def test_what_does_not_fit_is_refused(resnet: ofa.Supernet, two_layers: ofa.Supernet) -> None:
    with pytest.raises(ofa.InvalidInput, match=r"0\.0302"):  # 8 + 1 + 5 of 464
        make_environment(two_layers, 0.02)
    with pytest.raises(ofa.InvalidInput, match="at most 1"):
        make_environment(two_layers, 1.5)
    with pytest.raises(ofa.InvalidInput, match="did you mean macs"):
        make_environment(two_layers, 0.5, "mac")
    depths = ofa.Supernet(resnet.model, resnet.example_input, ofa.SpaceRules(width_ratios=[1.0]))
    with pytest.raises(ofa.InvalidInput, match="width_ratios"):
        make_environment(depths, 0.5)
