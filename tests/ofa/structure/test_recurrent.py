"""Recurrent layers: the hidden size is elastic by whole gates, in every layer and direction alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ofa
from ofa.randomize import randomize_
from tests.ofa.nets import zeroed_output


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], **settings: Any) -> None:
        super().__init__()
        self.enter = nn.Linear(5, 8)
        self.layer = kind(8, 6, batch_first=True, **settings)
        directions = 2 if settings.get("bidirectional") else 1
        self.leave = nn.Linear((settings.get("proj_size") or 6) * directions, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        sequence, _ = self.layer(self.enter(x).relu())
        return self.head(self.leave(sequence).relu()).mean(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("kind", "settings", "gates"),
    [
        (nn.LSTM, {}, 4),
        (nn.LSTM, {"num_layers": 2, "bidirectional": True}, 4),
        (nn.GRU, {}, 3),
        (nn.GRU, {"bidirectional": True}, 3),
        (nn.RNN, {}, 1),
    ],
)
def test_hidden_sizes_are_elastic_by_gates(kind: Any, settings: dict[str, Any], gates: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = randomize_(Recurrent(kind, **settings).to(dtype).eval())
    x = torch.randn(2, 4, 5, dtype=dtype)
    supernet = ofa.Supernet(model, x, ofa.SpaceRules(multiple_of=1))
    found = {group.name: (group.units, group.channels_per_unit) for group in supernet.groups}
    assert found == {"enter": (8, 1), "layer.weight_ih_l0": (6, gates), "leave": (4, 1)}
    rng = np.random.default_rng(0)
    for arch in [supernet.space.smallest, *(supernet.space.sample(rng) for _ in range(2))]:
        with torch.no_grad():
            output = supernet.subnet(arch)(x)
            torch.testing.assert_close(output, supernet.extract(arch).eval()(x), rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(output, zeroed_output(supernet, arch, x), rtol=1e-4, atol=1e-4)


def test_the_whole_network_and_a_training_step() -> None:
    model = Recurrent(nn.LSTM)
    x = torch.randn(2, 4, 5)
    supernet = ofa.Supernet(model, x, ofa.SpaceRules(multiple_of=1))
    with torch.no_grad():
        torch.testing.assert_close(supernet.subnet(supernet.space.largest)(x), model.eval()(x))
    supernet.subnet(supernet.space.smallest)(x).sum().backward()
    assert all(parameter.grad is not None for parameter in model.layer.parameters())


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_cells(kind: Any) -> None:
    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter, self.cell, self.head = nn.Linear(5, 8), kind(8, 6), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            state = None
            for step in self.enter(x).unbind(1):
                state = self.cell(step, state)
            return self.head(state[0] if isinstance(state, tuple) else state)

    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, dtype=torch.float64)
    supernet = ofa.Supernet(randomize_(Steps().double().eval()), x, ofa.SpaceRules(multiple_of=1))
    assert {group.channels // group.channels_per_unit for group in supernet.groups} == {8, 6}
    arch = supernet.space.smallest
    with torch.no_grad():
        torch.testing.assert_close(supernet.subnet(arch)(x), supernet.extract(arch).eval()(x))
        torch.testing.assert_close(supernet.subnet(arch)(x), zeroed_output(supernet, arch, x))
