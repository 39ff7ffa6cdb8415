"""Entries by error and bits: dearer bits make smaller files, and what goes is what does little and takes many bits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ofa.compress import coded_sizes, share
from ofa.compress.entry_choice import chosen_entries
from ofa.compress.place_bits import place_bits
from ofa.errors import InvalidInput


def sparse(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(60, 90, generator=generator)
    odds = torch.rand(60, 1, generator=generator) * torch.rand(1, 90, generator=generator)
    return weight * (torch.rand(60, 90, generator=generator) < 0.6 * odds)


def test_dearer_bits_make_smaller_files_of_larger_error() -> None:
    weight = sparse()
    sizes, errors = [], []
    for price in (0.0, 0.02, 0.1, 0.4):
        values = share({"w": weight}, levels=8, bit_price=price).values()["w"]
        assert not values[weight == 0].any()
        sizes.append(coded_sizes({"w": values}).total)
        errors.append(float((values - weight).square().sum()))
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 4
    assert errors == sorted(errors) and len(set(errors)) == 4


def test_at_a_price_the_error_and_the_bits_together_are_less_than_with_the_nearest_values() -> None:
    weight, price = sparse(1), 0.1
    nearest = share({"w": weight}, levels=8)
    priced = share({"w": weight}, levels=8, bit_price=price)
    unit = price * float(weight[weight != 0].square().mean())
    costs = [
        float((sharing.values()["w"] - weight).square().sum()) + unit * 8 * coded_sizes(sharing.values()).total
        for sharing in (nearest, priced)
    ]
    assert costs[1] < 0.95 * costs[0]


def test_a_weight_alone_goes_before_one_of_the_same_size_with_neighbors() -> None:
    weight = torch.zeros(20, 30)
    weight[0], weight[10, 10] = 1.0, 1.0
    entries, indices = chosen_entries(weight, torch.tensor([1.0]), bit_price=0.4)
    assert entries.tolist() == [1.0]
    assert indices[0].all() and indices[10, 10] == 0


def test_something_is_left_at_any_price() -> None:
    weight = torch.tensor([[0.0, 2.0, -1.0], [0.5, 0.0, 0.0]])
    entries, indices = chosen_entries(weight, torch.tensor([-1.0, 0.5, 2.0]), bit_price=1e6)
    assert entries.tolist() == [2.0] and indices.tolist() == [[0, 1, 0], [0, 0, 0]]


def test_places_are_dear_in_thin_rows_and_columns() -> None:
    mask = torch.zeros(40, 50, dtype=torch.bool)
    mask[:4, :10] = True
    mask[30, 40] = True
    bits = place_bits(mask)
    assert bits.shape == (40, 50)
    assert bits[0, 0] < bits[0, 40] < bits[35, 45]
    assert place_bits(torch.tensor([True, True, True, False])).unique().item() == pytest.approx(-1.585, abs=1e-3)


@pytest.mark.parametrize("price", [-1, float("nan"), "much", True])
def test_a_price_that_is_none_is_refused(price: object) -> None:
    with pytest.raises(InvalidInput, match="bit_price="):
        share({"w": sparse()}, levels=8, bit_price=price)  # type: ignore[arg-type]


def test_integers_have_no_price() -> None:
    with pytest.raises(InvalidInput, match="0 for integers"):
        share({"w": sparse()}, 4, start="integers", bit_price=0.1)
