"""Plausible times: a network far from its neighbors and swapped ones are found, ordinary devices are believed."""

from __future__ import annotations

import numpy as np
import pytest

from search.device.plausible import doubtful, doubtful_parts, expected_times, in_no_order

MACS = np.geomspace(1e6, 1e8, 20)


def times(noise: float = 0.02, overhead: float = 0.05) -> np.ndarray:
    """A device that takes 0.05 ms and 20 ns a thousand multiply-accumulates, with noise."""
    return (overhead + 2e-8 * MACS) * np.exp(noise * np.random.default_rng(0).standard_normal(len(MACS)))


def doubts(ms: np.ndarray) -> dict[int, str]:
    return doubtful(ms, *expected_times(ms, {"macs": MACS, "table_ms": times(0.0)}))


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.05])
@pytest.mark.parametrize("overhead", [0.0, 0.05, 5.0])
def test_ordinary_devices_are_believed(noise: float, overhead: float) -> None:
    ms = times(noise, overhead)
    assert doubtful(ms, *expected_times(ms, {"macs": MACS})) == {}
    assert not in_no_order(ms, {"macs": MACS})


def test_a_slow_path_is_no_mistake() -> None:
    ms = times()
    ms[[3, 9]] *= 3.1
    assert doubts(ms) == {}


@pytest.mark.parametrize("factor", [1000.0, 10.0, 1e-3])
@pytest.mark.parametrize("index", [0, 7, 19])
def test_a_network_far_from_its_neighbors_is_found(index: int, factor: float) -> None:
    ms = times()
    ms[index] *= factor
    (found,) = doubts(ms).items()
    assert found[0] == index
    assert "is expected" in found[1]


@pytest.mark.parametrize("pair", [(0, 19), (2, 9), (10, 15)])
def test_two_swapped_networks_are_found_and_said_to_be(pair: tuple[int, int]) -> None:
    ms = times()
    ms[list(pair)] = ms[list(pair[::-1])]
    found = doubts(ms)
    assert set(found) == set(pair)
    assert f"as if swapped with number {pair[1]}" in found[pair[0]]


def test_times_in_another_order_rise_with_nothing() -> None:
    ms = times()
    assert in_no_order(np.random.default_rng(1).permutation(ms), {"macs": MACS})
    assert in_no_order(ms[::-1], {"macs": MACS})
    assert not in_no_order(times(0.02, 500.0)[::-1], {"macs": MACS})  # all take the same: there is no order to tell


def test_parts_are_held_against_the_whole_and_their_neighbors() -> None:
    groups = ["stem"] * 3 + ["head"] * 3
    assert doubtful_parts([0.1, 0.2, 0.4, 0.1, None, 0.3], groups, 1.0) == {}
    assert list(doubtful_parts([0.1, 200.0, 0.4, 0.1, 0.2, 0.3], groups, 1.0)) == [1]
    assert list(doubtful_parts([0.1, 0.2, 0.4, 0.1, 0.2, 3e-4], groups, 1.0)) == [5]
