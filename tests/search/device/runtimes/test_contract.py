"""What holds for every runtime: its result, its repetition, its description, and the network as it was."""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ofa.errors import InvalidInput
from search.device.runtime import RUNTIMES, Portable, Runtime, make_runtime

# How far the largest error may be, as a fraction of the largest output.
FLOAT32, FLOAT16, INT8 = 1e-5, 1e-2, 0.1


def case(name: str, tolerance: float = FLOAT32, *marks: pytest.MarkDecorator, **arguments: Any) -> Any:
    label = "-".join([name, *(str(value) for value in arguments.values())])
    return pytest.param({"_target_": RUNTIMES[name], **arguments}, tolerance, id=label, marks=marks)


CASES = [
    case("onnxruntime"),
    case("onnxruntime", INT8, precision="int8"),
    case("onnxruntime", FLOAT16, pytest.mark.gpu, provider="CUDAExecutionProvider"),
    case("openvino"),
    case("openvino", INT8, precision="int8"),
    case("ncnn", 1e-4),
    case("ncnn", FLOAT16, precision="float16"),
    case("executorch"),
    case("eager"),
    case("eager", FLOAT32, threads=2),
    case("compile", FLOAT32, backend="eager"),  # all of it but the compiler
    case("compile", FLOAT32, pytest.mark.slow),
    case("cuda", FLOAT16, pytest.mark.gpu),  # PyTorch lets convolutions use TF32
    case("cuda", 0.05, pytest.mark.gpu, precision="bfloat16", channels_last=True),
    case("cuda_graph", FLOAT16, pytest.mark.gpu),
    case("cuda_graph", FLOAT16, pytest.mark.gpu, precision="float16"),
]
ABSENT = ("is not installed", "needs pnnx", "needs a CUDA GPU", "has no provider", "does not start here")


class Block(nn.Module):
    """A block as a table of latencies has them: a tensor in, one out, and a sum that goes around."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(8, 16, 1, bias=False),
            nn.BatchNorm2d(16),
            nn.Hardswish(),
            nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 8, 1),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = images + self.body(images)
        return result


def classifier() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU6(), Block(), nn.Flatten(), nn.Linear(8 * 7 * 6, 5)
    )


def in_training(net: nn.Module) -> nn.Module:
    """Returns the network in training mode, with random norm statistics: those of a fresh one change nothing."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return net.train()


def networks() -> dict[str, tuple[nn.Module, torch.Tensor]]:
    torch.manual_seed(0)
    return {
        "classifier": (in_training(classifier()), torch.randn(1, 3, 15, 13)),  # odd: rows that need padding in memory
        "block": (in_training(Block()), torch.randn(1, 8, 6, 5)),
        "layer": (nn.Linear(8, 4), torch.randn(1, 8)),
    }


def made_or_skipped(config: dict[str, Any]) -> Runtime:
    if (why := reason_to_skip(json.dumps(config))) is not None:
        pytest.skip(why)
    return make_runtime(config)


@cache
def reason_to_skip(config: str) -> str | None:
    try:
        make_runtime(json.loads(config)).load(*networks()["layer"])
    except InvalidInput as error:
        if any(reason in str(error) for reason in ABSENT):
            return str(error)
        raise
    return None


def tensor(outputs: Any) -> torch.Tensor:
    """Returns the one output of a run, whatever a runtime gives."""
    if isinstance(outputs, list):
        (outputs,) = outputs
    return outputs.float().cpu() if isinstance(outputs, torch.Tensor) else torch.from_numpy(np.array(outputs))


@pytest.mark.parametrize("name", networks())
@pytest.mark.parametrize(("config", "tolerance"), CASES)
def test_it_gives_what_the_network_gives(config, tolerance, name):
    runtime = made_or_skipped(config)
    net, images = networks()[name]
    before, mode = copy.deepcopy(net.state_dict()), net.training
    run = runtime.load(net, images)
    first = tensor(run()).clone()
    with torch.no_grad():
        expected = copy.deepcopy(net).eval()(images)
    assert first.shape == expected.shape
    assert (first - expected).abs().max() <= tolerance * expected.abs().max()
    for _ in range(20):
        torch.testing.assert_close(tensor(run()), first, rtol=0, atol=0)
    assert net.training == mode
    assert all(torch.equal(value, before[key]) and value.device == before[key].device for key, value in stored(net))


def stored(net: nn.Module) -> Any:
    assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())
    return net.state_dict().items()


@pytest.mark.parametrize(("config", "tolerance"), CASES)
def test_networks_that_are_loaded_together_do_not_mix(config, tolerance):
    runtime = made_or_skipped(config)
    torch.manual_seed(0)
    nets, images = [in_training(classifier()) for _ in range(3)], torch.randn(1, 3, 15, 13)
    runs = [runtime.load(net, images) for net in nets]
    for _ in range(2):
        for net, run in zip(nets, runs, strict=True):
            with torch.no_grad():
                expected = copy.deepcopy(net).eval()(images)
            assert (tensor(run()) - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize(("config", "tolerance"), CASES)
def test_it_says_what_it_is(config, tolerance):
    runtime = made_or_skipped(config)
    found = json.loads(json.dumps(runtime.describe()))
    assert found["name"] == runtime.name
    assert found["version"]
    assert {**found, **config} == {**found, "_target_": config["_target_"]}
    if isinstance(runtime, Portable):
        assert json.loads(json.dumps(dict(runtime.options))) == dict(runtime.options)
        assert all(isinstance(data, bytes) for data in runtime.write(*networks()["layer"]).values())


@pytest.mark.parametrize(("config", "tolerance"), CASES)
def test_a_network_that_fails_is_refused_in_one_line(config, tolerance):
    class Broken(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("the first line\nand a second")

    runtime = made_or_skipped(config)
    if runtime.name in ("eager", "cuda"):
        pytest.skip("it runs whatever the network does")
    with pytest.raises(InvalidInput, match="Broken") as error:
        runtime.load(Broken(), torch.randn(1, 3, 8, 8))
    assert "\n" not in str(error.value)
