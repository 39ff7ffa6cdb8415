"""Trials run in train mode too, without chance, and in the types that a model names."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ofa
from tests.ofa.trial.models import Auxiliary, Between, TiedInTraining, Typed

RULES = ofa.SpaceRules(multiple_of=1, width_ratios=None)


def test_layers_of_training_alone_are_elastic_and_run() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 8)
    supernet = ofa.Supernet(Auxiliary(), x, RULES)
    assert {group.name: group.units for group in supernet.groups} == {"body.0": 8, "aux.0": 12}
    rng = np.random.default_rng(0)
    for _ in range(5):
        subnet = supernet.subnet(supernet.space.sample(rng)).train()
        sum(output.sum() for output in subnet(x)).backward()
    assert all(parameter.grad is not None for parameter in supernet.model.parameters())


def test_conversion_changes_neither_the_model_nor_the_generator() -> None:
    model = Auxiliary().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.random.get_rng_state()
    ofa.Supernet(model, torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)), RULES)
    assert model.training
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_widths_that_meet_in_training_alone_go_together() -> None:
    supernet = ofa.Supernet(TiedInTraining(), torch.randn(2, 6), RULES)
    assert [(group.name, group.units, len({m.source for m in group.members})) for group in supernet.groups] == [
        ("first", 8, 6)
    ]


def test_one_example_is_enough_for_batch_statistics() -> None:
    pooled = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 6, 1), nn.BatchNorm2d(6), nn.Conv2d(6, 4, 1)
    )
    supernet = ofa.Supernet(pooled, torch.randn(1, 3, 8, 8), RULES)
    assert supernet.structure.training is not None
    assert [group.units for group in supernet.groups] == [8, 6]


CHANCE = {
    "dropout": lambda x: nn.functional.dropout(x, 0.5, training=True),
    "noise": lambda x: x + torch.randn_like(x),
    "stochastic depth": lambda x: x * torch.empty(x.shape[0], 1).bernoulli_(0.5),
    "gumbel noise": lambda x: x - torch.empty_like(x).exponential_().log(),
    "alpha dropout": lambda x: nn.functional.alpha_dropout(x, 0.5, training=True),
}


@pytest.mark.parametrize("name", CHANCE)
def test_chance_does_not_keep_a_width(name: str) -> None:
    supernet = ofa.Supernet(Between(CHANCE[name]), torch.randn(2, 6), RULES)
    assert [group.units for group in supernet.groups] == [8]


@pytest.mark.parametrize(("way", "widths"), [("cast", [8, 8]), ("identity", [8, 8]), ("table", [8, 8])])
def test_a_model_that_names_a_type_is_tried_in_it(way: str, widths: list[int]) -> None:
    x = torch.randint(0, 255, (2, 6)) if way == "cast" else torch.randn(2, 6)
    supernet = ofa.Supernet(Typed(way), x, RULES)
    assert [group.units for group in supernet.groups] == widths
    assert 1e-5 < supernet.structure.trace.epsilon * 1000 < 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.complex64])
def test_models_of_any_floating_type_convert(dtype: torch.dtype) -> None:
    act = nn.Tanh() if dtype.is_complex else nn.ReLU()
    model = nn.Sequential(nn.Linear(6, 8), act, nn.Linear(8, 8), act, nn.Linear(8, 5)).to(dtype)
    x = torch.randn(2, 6).to(dtype)
    supernet = ofa.Supernet(model, x, RULES)
    assert [group.units for group in supernet.groups] == [8, 8]
    assert supernet.subnet(supernet.space.smallest)(x).dtype == dtype
    assert all(parameter.dtype == dtype for parameter in model.parameters())


def test_a_domain_that_random_weights_leave_is_tried_with_the_models_own() -> None:
    class Power(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter, self.leave = nn.Linear(6, 8), nn.Linear(8, 5)
            self.scale = nn.Parameter(torch.full((1,), 9.0))

        def forward(self, x: Tensor) -> Tensor:
            return self.leave(self.enter(x)) * (self.scale - 7).sqrt()

    supernet = ofa.Supernet(Power(), torch.randn(2, 6), RULES)
    assert [group.units for group in supernet.groups] == [8]


@pytest.mark.parametrize("draw", [lambda: np.random.rand(6) < 0.5, lambda: [random.random() < 0.5 for _ in range(6)]])
def test_masks_that_numpy_or_python_draw_in_train_mode_are_the_same_in_every_run(draw: Callable[[], Any]) -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(5, 8), nn.Linear(8, 6), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.b(self.a(x).relu())
            return self.c(x * torch.as_tensor(draw())[:, None] if self.training else x)

    np.random.seed(7)
    random.seed(7)
    expected = np.random.rand(), random.random()
    np.random.seed(7)
    random.seed(7)
    supernet = ofa.Supernet(Masked(), torch.randn(6, 5), ofa.SpaceRules(multiple_of=1))
    assert [(group.name, group.units) for group in supernet.groups] == [("a", 8), ("b", 6)]
    assert (np.random.rand(), random.random()) == expected
