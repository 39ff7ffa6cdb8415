"""Ranks within a budget: about the best of all that fit, with nothing left that would still fit."""

from __future__ import annotations

from itertools import product
from math import prod

import pytest
import torch
from torch import nn

from ofa.compress import choose_ranks, factorize

SHAPES = ((12, 16), (16, 14), (14, 10))


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("budget", [0.45, 0.6, 0.7, 0.85])
def test_a_budget_keeps_about_the_most_energy_that_fits(budget: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(*shape) for shape in SHAPES)).double()
    shares = []
    for layer in model:
        energy = torch.linalg.svdvals(layer.weight.detach()).square().cumsum(0)
        shares.append((energy / energy[-1]).tolist())

    def cost(ranks: tuple[int, ...]) -> int:
        parts = (min(rank * sum(shape), prod(shape)) for rank, shape in zip(ranks, SHAPES, strict=True))
        return sum(parts) + sum(outputs for _, outputs in SHAPES)

    def kept(ranks: tuple[int, ...]) -> float:
        """The product of the energies; a layer that is dearer in parts stays whole and loses nothing."""
        whole = [rank * sum(shape) >= prod(shape) for rank, shape in zip(ranks, SHAPES, strict=True)]
        return prod(1.0 if w else e[rank - 1] for w, e, rank in zip(whole, shares, ranks, strict=True))

    limit = budget * size(model)
    chosen = choose_ranks(model, budget=budget)
    ranks = tuple(chosen.get(str(i), (min(shape),))[0] for i, shape in enumerate(SHAPES))
    assert size(factorize(model, budget=budget)) == cost(ranks) <= limit
    every = product(*(range(1, min(shape) + 1) for shape in SHAPES))
    assert kept(ranks) > 0.93 * max(kept(each) for each in every if cost(each) <= limit)
    for number in map(int, chosen):
        assert cost((*ranks[:number], ranks[number] + 1, *ranks[number + 1 :])) > limit


def test_a_small_layer_keeps_what_costs_next_to_nothing() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 10))
    assert set(choose_ranks(model, budget=0.3)) == {"0"}


def test_a_layer_of_low_rank_takes_its_own_rank_and_no_more() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(40, 40, bias=False), nn.Linear(40, 40, bias=False)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.randn(40, 3).double() @ torch.randn(3, 40).double())
    assert choose_ranks(model, budget=1.0) == {"0": (3,)}
