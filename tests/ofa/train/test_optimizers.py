"""Which parameters decay, and that an optimizer goes on as if nothing had happened."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from ofa.errors import InvalidInput
from ofa.train.optimizers import load_optimizer_state, optimizer_state, parameter_groups


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.batch = nn.BatchNorm2d(4)
        self.layer = nn.LayerNorm((4, 6, 6))
        self.group = nn.GroupNorm(2, 4)
        self.head = nn.Linear(144, 3)
        self.tied = nn.Linear(144, 3, bias=False)
        self.tied.weight = self.head.weight
        self.frozen = nn.Linear(3, 3).requires_grad_(False)

    def forward(self, images):
        return self.head(self.group(self.layer(self.batch(self.conv(images)))).flatten(1))


def test_norms_and_biases_do_not_decay():
    model = Mixed()
    decaying, plain = parameter_groups(model)
    names = {parameter: name for name, parameter in model.named_parameters()}
    assert [names[parameter] for parameter in decaying["params"]] == ["conv.weight", "head.weight"]
    assert [names[parameter] for parameter in plain["params"]] == [
        "conv.bias",
        *(
            "batch.weight",
            "batch.bias",
            "layer.weight",
            "layer.bias",
            "group.weight",
            "group.bias",
            "head.bias",
        ),
    ]
    assert "weight_decay" not in decaying and plain["weight_decay"] == 0.0
    assert len(parameter_groups(nn.BatchNorm1d(2))) == 1  # no empty group


BUILDERS = {
    "sgd": partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "sgd fused": partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01, fused=True),
    "sgd plain": partial(torch.optim.SGD, lr=0.1),
    "adamw": partial(torch.optim.AdamW, lr=0.01),
    "adamw fused": partial(torch.optim.AdamW, lr=0.01, fused=True),
    "rmsprop": partial(torch.optim.RMSprop, lr=0.01, momentum=0.9),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_state_put_into_another_optimizer_goes_on_with_the_same_bits(name):
    def steps(model, optimizer, numbers):
        for number in numbers:
            optimizer.zero_grad()
            images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(number))
            model(images).square().mean().backward()
            optimizer.step()

    first = Mixed()
    second = Mixed()
    one, other = (BUILDERS[name](parameter_groups(model)) for model in (first, second))
    steps(first, one, range(3))
    tensors, values = optimizer_state(first, one)
    second.load_state_dict(first.state_dict())
    load_optimizer_state(second, other, {key: tensor.clone() for key, tensor in tensors.items()}, values)
    steps(first, one, range(3, 6))
    steps(second, other, range(3, 6))
    for expected, got in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(expected, got)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"nothing/momentum_buffer": torch.zeros(1)}, "'nothing'"),
        (
            {"conv.bias/momentum_buffer": torch.zeros(9)},
            r"'conv.bias' has shape \(9,\), the parameter \(4,\)",
        ),
    ],
)
def test_state_of_another_model_is_refused(tensors, words):
    model = Mixed()
    with pytest.raises(InvalidInput, match=words):
        load_optimizer_state(model, BUILDERS["sgd"](parameter_groups(model)), tensors, {})
