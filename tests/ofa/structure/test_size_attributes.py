"""Numbers in Python that follow widths: read from any module, changed on copies alone."""

from collections import namedtuple
from dataclasses import dataclass
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ofa.structure.size_attributes import SizeAttribute, follow, integers, set_integers

Sizes = namedtuple("Sizes", "height width")


@dataclass(frozen=True)
class Config:
    hidden: int
    vision: SimpleNamespace


class Holder(nn.Module):
    per_class = 5

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.bias, self.rate = 8, True, 0.5
        self.sizes, self.pair, self.named = [3, 4], (6, 7), Sizes(1, 2)
        self.config = Config(64, SimpleNamespace(depth=12))
        self.table = {"a": 9, 3: 4}
        self.inner = nn.Linear(2, 3)


def numbers(module: nn.Module) -> dict[str, int]:
    return dict(integers(module))


def test_integers_are_those_that_code_can_reach_through_self() -> None:
    assert numbers(Holder()) == {
        "heads": 8,
        "sizes.0": 3,
        "sizes.1": 4,
        "pair.0": 6,
        "pair.1": 7,
        "named.0": 1,
        "named.1": 2,
        "config.hidden": 64,
        "config.vision.depth": 12,
        "table.a": 9,
        "per_class": 5,
    }


@given(st.dictionaries(st.sampled_from(sorted(numbers(Holder()))), st.integers(0, 99)))
def test_set_integers_changes_these_and_nothing_that_is_shared(new: dict[str, int]) -> None:
    full = Holder()
    before = numbers(full)
    copied = object.__new__(Holder)
    vars(copied).update(vars(full))
    set_integers(copied, new)
    assert numbers(copied) == {**before, **new}
    assert numbers(full) == before
    assert Holder.per_class == 5
    assert type(copied.pair) is tuple and type(copied.named) is Sizes and type(copied.config) is Config


@given(st.integers(0, 3), st.integers(0, 5))
def test_a_number_follows_every_group_that_it_counts(first: int, second: int) -> None:
    both = (SizeAttribute("cat", "total", "a", 40, 2), SizeAttribute("cat", "total", "b", 40, 4))
    expected = {"cat": {"total": 40 - 2 * first - 4 * second}} if first or second else {}
    assert follow(both, {"a": first, "b": second}) == expected
