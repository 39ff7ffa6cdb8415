from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ofa.models import GPT, LeNet5, MobileNet, ResNet, ViT
from ofa.train.layer_rates import layer_levels, layer_rates


def called_with(inputs: Tensor) -> Callable[[nn.Module], Any]:
    return lambda net: net(inputs)


def test_transformer_blocks_are_levels_between_embedding_and_head() -> None:
    net = ViT((1, 8, 8), 10, width=16, depth=3, heads=2, head_size=8)
    levels = layer_levels(net, called_with(torch.randn(2, 1, 8, 8)))
    assert levels.keys() == dict(net.named_parameters()).keys()
    for name, level in levels.items():
        top = name.split(".")[0]
        expected = {"positions": 0, "patches": 0, "norm": 4, "head": 4}.get(top)
        assert level == (1 + int(name.split(".")[1]) if expected is None else expected), name


def test_residual_blocks_inside_stages_are_levels() -> None:
    net = ResNet((3, 16, 16), 10, depth=20)
    levels = layer_levels(net, called_with(torch.randn(2, 3, 16, 16)))
    by_level: dict[int, set[str]] = {}
    for name, level in levels.items():
        by_level.setdefault(level, set()).add(".".join(name.split(".")[:3]) if name[0:6] == "stages" else "outside")
    assert len(by_level) == 11 and by_level[0] == by_level[10] == {"outside"}
    assert all(len(by_level[level]) == 1 for level in range(11))


def test_levels_are_in_the_order_of_use_and_not_of_definition() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.middle, self.first = (nn.Linear(4, 4) for _ in range(3))
            self.norm = nn.LayerNorm(4)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.norm(self.middle(self.first(x))))

    levels = layer_levels(Backwards(), called_with(torch.randn(2, 4)))
    assert [levels[f"{name}.weight"] for name in ("first", "middle", "norm", "last")] == [0, 1, 1, 2]


def test_rates_fall_towards_the_input() -> None:
    net = LeNet5((1, 16, 16), 10)
    rates = layer_rates(net, called_with(torch.randn(2, 1, 16, 16)), 0.5)
    matrices = [rates[name] for name, value in net.named_parameters() if value.dim() > 1]
    assert matrices == [0.5 ** (len(matrices) - 1 - number) for number in range(len(matrices))]
    assert set(layer_rates(net, called_with(torch.randn(2, 1, 16, 16)), 1.0).values()) == {1.0}


@pytest.mark.parametrize(
    ("net", "inputs"),
    [
        (MobileNet((3, 16, 16), 10), torch.randn(2, 3, 16, 16)),
        (GPT((8,), 12, width=16, depth=2, heads=2, head_size=8), torch.randint(12, (2, 8))),
        (nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 2), torch.randn(3, 2, 8)),
    ],
    ids=["mobilenet", "gpt", "torch's encoder"],
)
def test_every_parameter_has_a_level_and_nothing_changes(net: nn.Module, inputs: Tensor) -> None:
    net.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    levels = layer_levels(net, called_with(inputs))
    assert levels.keys() == dict(net.named_parameters()).keys()
    assert len(set(levels.values())) == 1 + max(levels.values()) >= 2
    assert torch.equal(torch.get_rng_state(), state) and all(module.training for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module._forward_pre_hooks for module in net.modules())
