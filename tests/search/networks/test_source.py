"""Networks written as plain PyTorch: the same numbers in both modes, the same names, and refused where that fails."""

from __future__ import annotations

import ast
import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa.errors import InvalidInput
from ofa.models import GPT, LeNet5, LeNet300, MobileNet, ResNet
from search.networks.source import network_source
from search.networks.source_layers import layer_text
from tests.ofa.zoo import AWKWARD, PLAIN, example

SHIPPED = {
    "lenet300": lambda: LeNet300((3, 6, 6), 10),
    "lenet5": lambda: LeNet5((3, 6, 6), 10, batch_norm=True),
    "mobilenet": lambda: MobileNet((3, 6, 6), 10),
    "resnet": lambda: ResNet((3, 6, 6), 10, depth=8),
}
NETWORKS = SHIPPED | PLAIN | {name: make for name, make in AWKWARD.items() if name != "write_into"}


class Twice(nn.Module):
    """A shared layer, a tied weight, a token, statistics and a table that no file holds."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 4, 1, 1))
        self.register_buffer("scale", torch.full((1, 4, 1, 1), 2.0))
        self.register_buffer("table", torch.arange(4.0).view(1, 4, 1, 1), persistent=False)
        self.enter = nn.Conv2d(3, 4, 1)
        self.one = nn.ModuleDict({"a-b": nn.Conv2d(4, 4, 1), "c": nn.PReLU(4)})
        self.two = self.one
        self.tied = nn.Conv2d(4, 4, 1)
        self.tied.weight = self.one["a-b"].weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x) * self.scale + self.table + self.token
        x = self.two["c"](self.one["a-b"](x))
        x = functional.dropout(self.tied(x), 0.5, self.training)
        return x.mean((2, 3)) / -2


def made(net: nn.Module, images: Tensor) -> nn.Module:
    """The network of the written source, with the weights of `net`."""
    namespace: dict[str, Any] = {}
    exec(network_source(net, images), namespace)
    network: nn.Module = namespace["Network"]()
    network.load_state_dict(net.state_dict())
    return network


@pytest.mark.parametrize("name", [*NETWORKS, "twice"])
def test_it_computes_and_trains_as_the_network_does(name: str) -> None:
    torch.manual_seed(0)
    net = Twice() if name == "twice" else NETWORKS[name]()
    images, before = example(), {key: value.clone() for key, value in net.state_dict().items()}
    network = made(net, images)
    assert net.training and all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert list(dict(network.named_parameters())) == list(dict(net.named_parameters()))
    for mode in (True, False):
        results = []
        for each in (net.train(mode), network.train(mode)):
            torch.manual_seed(1)
            each.zero_grad()
            outputs = each(images)
            outputs.square().mean().backward()
            gradients = [parameter.grad for parameter in each.parameters()]
            results.append([outputs, *gradients, *each.state_dict().values()])
        for first, second in zip(*results, strict=True):
            assert first is second or torch.allclose(first, second, rtol=1e-6, atol=1e-7)


def test_a_single_letter_of_another_network_would_show() -> None:
    torch.manual_seed(0)
    net, images = LeNet5((3, 6, 6), 10, batch_norm=True), example()
    text = network_source(net, images)
    namespace: dict[str, Any] = {}
    exec(text.replace("functional.relu", "functional.tanh", 1), namespace)
    network = namespace["Network"]()
    network.load_state_dict(net.state_dict())
    assert not torch.allclose(network.eval()(images), net.eval()(images), atol=1e-4)


def test_the_source_needs_torch_alone_and_is_the_same_each_time() -> None:
    torch.manual_seed(0)
    for make in NETWORKS.values():
        net = make()
        text = network_source(net, example())
        tree = ast.parse(text)
        modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        modules |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert modules <= {"torch", "torch.nn", "math", "operator"}
        assert network_source(net, example()) == text


def test_the_random_state_of_the_caller_is_left_alone() -> None:
    torch.manual_seed(0)
    net = MobileNet((3, 6, 6), 10, dropout=0.5, hidden=16)
    state = torch.get_rng_state()
    network_source(net, example())
    assert torch.equal(torch.get_rng_state(), state)


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(108, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x.flatten(1))
        return x if x.sum() > 0 else -x


class Foreign(Branches):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1)) * torch.from_numpy(x.detach().numpy().mean(keepdims=True)).flatten()


class Huge(Branches):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.arange(432.0).view(4, 108), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1)) + functional.linear(x.flatten(1), self.table)


class Remembers(Branches):
    """What it computes depends on what it has seen, in a way that no state_dict shows."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        type(self).calls += 1
        return self.layer(x.flatten(1)) * type(self).calls


@pytest.mark.parametrize(
    ("net", "named"),
    [
        (Branches, "Branches cannot be written as plain PyTorch: symbolically traced variables cannot be used"),
        (Foreign, "Foreign cannot be written as plain PyTorch"),
        (Huge, "table is a tensor of 432 numbers that is not in the state_dict"),
        (Remembers, "computes what its trace does not show"),
        (AWKWARD["write_into"], "cannot be written as plain PyTorch"),
        (lambda: nn.Linear(6, 4), "is a single layer"),
    ],
)
def test_what_cannot_be_written_is_refused_with_the_reason(net: Any, named: str) -> None:
    with pytest.raises(InvalidInput, match=named) as caught:
        network_source(net(), example())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.Conv2d(3, 6, 3, padding=1, groups=3, bias=False), "nn.Conv2d(3, 6, 3, padding=1, groups=3, bias=False)"),
        (nn.Conv2d(3, 6, (3, 5), stride=2), "nn.Conv2d(3, 6, (3, 5), stride=2)"),
        (nn.Conv2d(3, 6, 3, padding="same", padding_mode="reflect"), None),
        (nn.ConvTranspose2d(4, 2, 2, stride=2, output_padding=1), None),
        (nn.BatchNorm2d(4, eps=1e-3, affine=False), "nn.BatchNorm2d(4, eps=0.001, affine=False)"),
        (nn.LayerNorm((4, 5), bias=False), "nn.LayerNorm((4, 5), bias=False)"),
        (nn.GroupNorm(2, 4), "nn.GroupNorm(2, 4)"),
        (nn.AdaptiveAvgPool2d(1), "nn.AdaptiveAvgPool2d(1)"),
        (nn.MaxPool2d(3, 2, 1), "nn.MaxPool2d(3, stride=2, padding=1)"),
        (nn.GELU("tanh"), "nn.GELU(approximate='tanh')"),
        (nn.Upsample(scale_factor=2), None),
        (nn.PReLU(4), "nn.PReLU(num_parameters=4)"),
        (nn.Dropout(0.2), "nn.Dropout(p=0.2)"),
        (nn.MultiheadAttention(8, 2, batch_first=True), "nn.MultiheadAttention(8, 2, batch_first=True)"),
        (nn.Sequential(nn.ReLU()), "no layer"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), "no layer"),
    ],
)
def test_a_layer_is_the_call_that_makes_it(layer: nn.Module, text: str | None) -> None:
    found = layer_text(layer)
    if text == "no layer":
        assert found is None
        return
    assert found is not None and text in (None, found)
    again = eval(found, {"nn": nn})
    assert repr(again) == repr(layer)
    assert {key: value.shape for key, value in again.state_dict().items()} == {
        key: value.shape for key, value in layer.state_dict().items()
    }


@pytest.mark.parametrize("every_token", [False, True])
def test_arguments_that_are_not_given_are_their_defaults(every_token: bool) -> None:
    net = GPT((6,), 12, width=16, depth=2, heads=2, head_size=8, every_token=every_token).eval()
    text = network_source(net, torch.randint(12, (3, 6)))  # compares the outputs
    assert "def forward(self, ids):" in text and "use_cache" not in text


def test_what_another_thread_computes_while_it_is_traced_is_left_alone() -> None:
    other, answers = nn.Sequential(nn.Linear(3, 2), nn.PReLU()), []
    expected = other(torch.ones(1, 3))

    class Meanwhile(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            thread = threading.Thread(target=lambda: answers.append(other(torch.ones(1, 3))))
            thread.start()
            thread.join()
            return self.layer(x)

    network = Meanwhile()
    network(torch.ones(2, 3))
    alone = len(answers)
    network_source(network, torch.randn(2, 3))
    assert len(answers) > alone + 2  # traced in both modes
    assert all(torch.equal(answer, expected) for answer in answers)
