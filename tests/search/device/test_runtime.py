"""Runtimes: the ONNX one for real, and what is refused."""

from __future__ import annotations

import sys

import pytest
import torch
from hydra.utils import get_class
from torch import nn

from ofa.errors import InvalidInput
from search.device.measuring import measure
from search.device.runtime import RUNTIMES, Runtime, make_runtime
from search.device.runtimes import OnnxRuntime
from search.device.timing import sentinel


class OwnRuntime:
    """What a user writes: PyTorch as it is."""

    name = "own"

    def load(self, net: nn.Module, example_input: torch.Tensor):
        return lambda: net(example_input)

    def describe(self):
        return {"name": self.name}


class NoRuntime:
    """Something else."""


def net(width: int = 4) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(), nn.Linear(36 * width, 3)
    )


def test_onnx_runtime_runs_the_network_in_eval_mode():
    torch.manual_seed(0)
    model, image = net(), torch.randn(1, 1, 8, 8)
    run = OnnxRuntime(threads=1).load(model, image)
    (logits,) = run()
    assert model.training
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(logits), model.eval()(image))


def test_it_says_what_decides_the_speed():
    found = OnnxRuntime(threads=2).describe()
    assert (found["name"], found["threads"], found["precision"]) == ("onnxruntime", 2, "float32")
    assert found["version"]


def test_runtimes_are_made_from_a_name_a_target_or_themselves():
    assert make_runtime("onnxruntime").describe()["threads"] == 1
    made = make_runtime({"_target_": "search.device.runtimes.OnnxRuntime", "threads": 2})
    assert made.describe()["threads"] == 2
    own = OwnRuntime()
    assert make_runtime(own) is own
    assert isinstance(own, Runtime)


@pytest.mark.parametrize("name", RUNTIMES)
def test_short_names_are_the_names_of_the_runtimes(name):
    assert get_class(RUNTIMES[name]).name == name


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ("onnxruntim", "did you mean onnxruntime"),
        ({"_target_": "no_such_package.Runtime"}, "no_such_package"),
        ({"_target_": "collections.OrderedDict"}, "is not a runtime"),
        ({"threads": 1}, "cannot be imported"),
        ({"_target_": "search.device.runtimes.OnnxRuntime", "threads": 0}, "threads=0"),
        ({"_target_": "search.device.runtimes.OnnxRuntime", "thread": 1}, "cannot be made"),
        (NoRuntime(), "is not a runtime"),
    ],
)
def test_what_is_no_runtime_is_refused_in_one_line(config, named):
    with pytest.raises(InvalidInput, match=named) as error:
        make_runtime(config)
    assert "\n" not in str(error.value)


def test_a_runtime_that_is_not_installed_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InvalidInput, match="pip install onnxruntime"):
        OnnxRuntime()


def test_a_network_that_cannot_be_exported_is_refused_in_one_line():
    class Odd(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.special.i1e(images)

    with pytest.raises(InvalidInput, match="Odd cannot be written as ONNX") as error:
        OnnxRuntime().load(Odd(), torch.randn(1, 1, 8, 8))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("runtime", [OnnxRuntime(), OwnRuntime()])
def test_measuring_real_networks_gives_positive_figures_in_their_order(runtime):
    networks = [(net(channels).eval(), torch.randn(1, 1, 8, 8)) for channels in (64, 4)]
    found = measure(networks, runtime, visits=4, repeats=3, seconds=5)
    assert (found.ms > 0).all()
    assert found.sentinel.ms > 0


def test_the_sentinel_is_always_the_same():
    (first, image), (second, _) = sentinel(), sentinel()
    with torch.no_grad():
        torch.testing.assert_close(first(image), second(image))
        assert first(image).shape == (1, 10)
