"""Stand-ins: no weight of the network, the same files otherwise, ordinary numbers all the way."""

from __future__ import annotations

import zlib

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from ofa.errors import InvalidInput
from ofa.models import MobileNet
from ofa.models.resnet import ResNet
from search.device.export import onnx_bytes
from search.device.remote.manifest import stand_in


def trained_like(net: nn.Module) -> nn.Module:
    """The network with norm statistics that are not those of the beginning."""
    torch.manual_seed(1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.1, 4)
            nn.init.normal_(module.running_mean)
            nn.init.normal_(module.bias)
    return net.eval()


@pytest.fixture(scope="module", params=["resnet", "mobilenet"])
def pair(request) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    if request.param == "resnet":
        return trained_like(ResNet((3, 16, 16), 10, depth=32)), torch.randn(1, 3, 16, 16)
    return trained_like(MobileNet((3, 32, 32), 10)), torch.randn(1, 3, 32, 32)


def test_tensors_keep_mean_and_deviation_and_no_value(pair):
    net, example = pair
    before = {name: value.clone() for name, value in net.state_dict().items()}
    made = stand_in(net, example).state_dict()
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
        assert made[name].shape == value.shape
        if value.numel() > 500 and bool((value < 0).any()):
            torch.testing.assert_close(made[name].std(), value.std(), rtol=0.05, atol=0)
            assert (made[name] == value).float().mean() < 0.01
    assert all((made[name] > 0).all() for name in made if name.endswith("running_var"))


def test_what_comes_out_is_finite_and_ordinary(pair):
    net, example = pair
    with torch.no_grad():
        result = stand_in(net, example)(example)
    assert torch.isfinite(result).all()
    assert result.shape == net(example).shape


def test_files_shrink_and_no_weights_are_shared(pair):
    net, example = pair
    plain, made = onnx_bytes(net, example), onnx_bytes(stand_in(net, example), example)
    graphs = [onnx.load_from_string(content).graph for content in (plain, made)]
    assert len(graphs[0].initializer) == len(graphs[1].initializer)
    assert [node.op_type for node in graphs[0].node] == [node.op_type for node in graphs[1].node]
    assert len(zlib.compress(plain)) > 0.8 * len(plain)
    assert len(zlib.compress(made)) < 0.3 * len(made)


def test_weights_that_grow_too_large_are_made_smaller():
    layers = [nn.Linear(64, 64, bias=False) for _ in range(40)]
    for layer in layers:
        nn.init.normal_(layer.weight, std=2000.0)
    net, example = nn.Sequential(*layers).eval(), torch.ones(1, 64)
    assert not torch.isfinite(net(example)).all()
    assert torch.isfinite(stand_in(net, example)(example)).all()


class Nothing(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * np.nan


def test_a_network_that_gives_no_numbers_is_refused():
    with pytest.raises(InvalidInput, match="Nothing returns NaN or infinity"):
        stand_in(Nothing(), torch.ones(1, 4))
