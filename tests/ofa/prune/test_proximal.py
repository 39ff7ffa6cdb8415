"""Proximal steps: the minimum that they should reach, and what becomes exactly zero."""

import math
from collections.abc import Callable

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import nn

from ofa.prune.regularizers import (
    GroupLasso,
    ProximalL1,
    ProximalL2,
    SparseGroupLasso,
    proximal_steps_,
)
from ofa.prune.regularizers.regularizer import Proximal
from tests.ofa.prune.regularized_weights import groups, parameters


def vectors() -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(-3, 3).map(lambda value: round(value, 3)), min_size=3, max_size=3)


@settings(max_examples=8, deadline=None)
@given(vectors(), st.floats(0.01, 2.0), st.floats(0.05, 1.0), st.floats(0.0, 1.0))
def test_proximal_steps_minimize_what_they_should(w: list[float], strength: float, step: float, alpha: float) -> None:
    """Brute force: argmin_v |v - w|^2 / 2 + step r(v), from many starts; the closed form is never worse."""
    start = np.array(w)
    rules: list[tuple[Proximal, Callable[[np.ndarray], float]]] = [
        (ProximalL1(strength, select=["*"]), lambda v: strength * np.abs(v).sum()),
        (ProximalL2(strength, select=["*"]), lambda v: strength * (v**2).sum()),
        (GroupLasso(strength), lambda v: strength * math.sqrt(3) * np.linalg.norm(v)),
        (
            SparseGroupLasso(strength, alpha),
            lambda v: strength * ((1 - alpha) * math.sqrt(3) * np.linalg.norm(v) + alpha * np.abs(v).sum()),
        ),
    ]
    for regularizer, penalty in rules:
        weights = {
            "a.weight": nn.Parameter(torch.tensor([w[:2]], dtype=torch.float64)),
            "a.bias": nn.Parameter(torch.tensor(w[2:], dtype=torch.float64)),
        }
        regularizer.proximal_(weights, step, 1.0)
        stepped = np.array([*weights["a.weight"].detach().reshape(-1), *weights["a.bias"].detach()])

        def objective(v: np.ndarray, penalty: Callable[[np.ndarray], float] = penalty) -> float:
            return float(np.sum((v - start) ** 2) / 2 + step * penalty(v))

        searched = [minimize(objective, guess, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-12})
                    for guess in (start, np.zeros(3), start / 2)]  # fmt: skip
        best = min(searched, key=lambda result: float(result.fun))
        assert objective(stepped) <= best.fun + 1e-9
        np.testing.assert_allclose(stepped, best.x, atol=2e-3)


def test_groups_become_exactly_zero_and_the_rest_does_not() -> None:
    weights = parameters()
    before = groups({name: weight.detach().clone() for name, weight in weights.items()})
    lengths = sorted(float(g.norm()) / math.sqrt(len(g)) for _, g in before)
    limit = (lengths[3] + lengths[4]) / 2
    GroupLasso(limit).proximal_(weights, 1.0, 0.0)
    gone = [bool((group == 0).all()) for _, group in groups(weights)]
    assert gone == [float(g.norm()) / math.sqrt(len(g)) < limit for _, g in before]
    assert sum(gone) == 4
    assert all(bool((group != 0).all()) for (_, group), zero in zip(groups(weights), gone, strict=True) if not zero)
    torch.testing.assert_close(weights["norm.weight"], parameters()["norm.weight"])


def test_a_group_of_zeros_stays_without_nan() -> None:
    weights = parameters()
    for name in ("conv.weight", "conv.bias"):
        weights[name].data[0] = 0
    for regularizer in (GroupLasso(0.1), SparseGroupLasso(0.1), GroupLasso(0.0)):
        (regularizer.penalty(weights, 0.0) + weights["norm.bias"].sum()).backward()
        regularizer.proximal_(weights, 0.1, 0.0)
        assert not weights["conv.weight"][0].any() and not weights["conv.bias"][0].any()
        assert all(w.grad is None or bool(torch.isfinite(w.grad).all()) for w in weights.values())


def test_a_layer_of_strength_zero_is_left_alone() -> None:
    weights = parameters()
    GroupLasso(100.0, layers={"last.weight": 0.0}).proximal_(weights, 1.0, 0.0)
    torch.testing.assert_close(weights["last.weight"], parameters()["last.weight"])
    torch.testing.assert_close(weights["last.bias"], parameters()["last.bias"])
    assert not weights["conv.weight"].any() and not weights["middle.weight"].any()


def test_proximal_gradient_finds_the_neurons_that_matter() -> None:
    """A wide layer is fitted to a teacher of two neurons: the others end as exact zeros, and the fit stays."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(256, 5, generator=generator)
    teacher = torch.randn(5, 2, generator=generator)
    targets = torch.cat([inputs @ teacher, torch.zeros(256, 6)], dim=1)
    layer = nn.Linear(5, 8)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.2)
    for _ in range(200):
        optimizer.zero_grad()
        (layer(inputs) - targets).square().sum(dim=1).mean().backward()
        optimizer.step()
        proximal_steps_([GroupLasso(0.05)], dict(layer.named_parameters()), 0.2, 1.0)
    assert [bool(row.any()) for row in layer.weight] == [True, True] + [False] * 6
    assert not layer.bias[2:].any()
    torch.testing.assert_close(layer.weight[:2].T.detach(), teacher, rtol=0.1, atol=0.1)
