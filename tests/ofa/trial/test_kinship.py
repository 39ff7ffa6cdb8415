"""Groups at like places of repeated blocks: what they have in common, and the numbers of one for another."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from ofa.structure.coupling import Group, Member
from ofa.structure.size_attributes import SizeAttribute
from ofa.trial.kinship import kind_of, like_paths, transferred


class Attention(nn.Module):
    """Says its number of heads and the width of all of them."""

    def __init__(self, heads: int, width: int) -> None:
        super().__init__()
        self.heads, self.width = heads, width
        self.query, self.value = nn.Linear(6, width), nn.Linear(6, width)


def heads_of(block: int, units: int, per_unit: int) -> Group:
    indices = np.arange(units * per_unit).reshape(units, per_unit)
    names = [f"blocks.{block}.attention.{layer}.weight" for layer in ("query", "value")]
    return Group(names[0], units, per_unit, tuple(Member(name, 0, indices) for name in names))


def model(*sizes: tuple[int, int]) -> nn.Module:
    blocks = [nn.ModuleDict({"attention": Attention(heads, width)}) for heads, width in sizes]
    return nn.ModuleDict({"blocks": nn.ModuleList(blocks)})


def test_groups_are_of_a_kind_where_their_tensors_differ_in_numbers_alone() -> None:
    first, second = heads_of(0, 2, 4), heads_of(11, 4, 4)
    assert kind_of(first) == kind_of(second)
    other = Group("stem", 4, 1, (Member("blocks.0.attention2.query.weight", 0, np.arange(4)[:, None]),))
    assert kind_of(first) != kind_of(other)


def test_paths_at_like_places_are_paired() -> None:
    assert like_paths(heads_of(0, 2, 4), heads_of(3, 2, 4)) == {
        "": "",
        "blocks": "blocks",
        "blocks.0": "blocks.3",
        "blocks.0.attention": "blocks.3.attention",
        "blocks.0.attention.query": "blocks.3.attention.query",
        "blocks.0.attention.value": "blocks.3.attention.value",
    }


NUMBERS = (
    SizeAttribute("blocks.0.attention", "heads", "first", full=2, per_unit=1),
    SizeAttribute("blocks.0.attention", "width", "first", full=8, per_unit=4),
)


def test_numbers_of_a_wider_block_are_in_proportion() -> None:
    numbers = transferred(NUMBERS, heads_of(0, 2, 4), other := heads_of(1, 6, 4), model((2, 8), (6, 24)))
    assert numbers == (
        SizeAttribute("blocks.1.attention", "heads", other.name, full=6, per_unit=1),
        SizeAttribute("blocks.1.attention", "width", other.name, full=24, per_unit=4),
    )


@pytest.mark.parametrize("sizes", [(6, 20), (5, 24)])
def test_numbers_that_are_out_of_proportion_are_of_something_else(sizes: tuple[int, int]) -> None:
    assert transferred(NUMBERS, heads_of(0, 2, 4), heads_of(1, 6, 4), model((2, 8), sizes)) is None


def test_numbers_of_modules_with_no_like_place_are_not_transferred() -> None:
    elsewhere = SizeAttribute("neck", "width", "first", full=8, per_unit=4)
    assert transferred([elsewhere], heads_of(0, 2, 4), heads_of(1, 2, 4), model((2, 8), (2, 8))) is None
