"""The figures that a supernet's Archs have without being evaluated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ofa
from ofa.errors import InvalidInput
from search.device import devices as module
from search.device.devices import free_figures


class Doubled:
    """A profile that takes a millisecond a parameter, times `factor`."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def predict_archs(self, supernet: ofa.Supernet, archs: Any) -> Any:
        return self.factor * ofa.cost(supernet, archs)["params"]


@pytest.fixture(scope="module")
def supernet() -> ofa.Supernet:
    net = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 4))
    return ofa.Supernet(net, torch.randn(2, 1, 8, 8), ofa.SpaceRules(width_ratios=(0.5, 1.0)))


def test_each_device_predicts_and_the_rest_is_exact(supernet: ofa.Supernet) -> None:
    profiles: Any = {"latency_ms@a": Doubled(1.0), "latency_ms@b": Doubled(2.0)}
    archs = [supernet.space.smallest, supernet.space.largest]
    found = free_figures(supernet, profiles)(archs)
    assert list(found) == ["latency_ms@a", "latency_ms@b", "macs", "params", "bytes", "peak_activation_bytes"]
    np.testing.assert_array_equal(found["latency_ms@b"], 2 * found["params"])
    np.testing.assert_array_equal(found["macs"], ofa.cost(supernet, archs)["macs"])
    np.testing.assert_array_equal(found["peak_activation_bytes"], ofa.peak_activation_bytes(supernet, archs))
    assert all(values.dtype == np.float64 or name.startswith("latency") for name, values in found.items())


def test_a_peak_that_cannot_be_known_is_absent_unless_asked_for(
    supernet: ofa.Supernet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: Any) -> None:
        raise InvalidInput("Net changes its ops from Arch to Arch")

    monkeypatch.setattr(module, "peak_activation_bytes", unknown)
    profiles: Any = {"latency_ms": Doubled(1.0)}
    figures = free_figures(supernet, profiles, {"accuracy", "latency_ms", "params"})
    assert set(figures([supernet.space.smallest])) == {"latency_ms", "macs", "params", "bytes"}
    with pytest.raises(InvalidInput, match="peak_activation_bytes cannot be limited or optimized here: Net changes"):
        free_figures(supernet, profiles, {"peak_activation_bytes"})
