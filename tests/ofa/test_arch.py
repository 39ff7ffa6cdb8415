import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa import Arch, InvalidArch

names = st.text(min_size=1, max_size=8)
choices = st.dictionaries(names, st.integers(0, 4096), max_size=4)
archs = st.builds(Arch, width=choices, depth=choices, kernel_size=choices)


@given(archs)
def test_json_round_trip_is_exact(arch: Arch) -> None:
    again = Arch.from_json(arch.to_json())
    assert again == arch
    assert hash(again) == hash(arch)
    assert again.to_json() == arch.to_json()
    assert again.digest == arch.digest


@given(archs)
def test_pickles_and_orders_by_name(arch: Arch) -> None:
    assert pickle.loads(pickle.dumps(arch)) == arch
    assert list(arch.width) == sorted(arch.width)
    assert Arch(width=dict(reversed(arch.width.items())), depth=arch.depth, kernel_size=arch.kernel_size) == arch


def test_is_frozen() -> None:
    arch = Arch(width={"a": 8})
    with pytest.raises(TypeError):
        arch.width["a"] = 16  # type: ignore[index]
    with pytest.raises(AttributeError):
        arch.width = {}  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "not an Arch"),
        ("[1]", "JSON object"),
        ('{"widht": {}}', "did you mean width"),
        ('{"width": 3}', "name: number"),
        ('{"width": {"a": 1.5}}', "whole numbers"),
        ('{"width": {"a": true}}', "whole numbers"),
    ],
)
def test_bad_text_is_refused_in_one_line(text: str, part: str) -> None:
    with pytest.raises(InvalidArch, match=part) as caught:
        Arch.from_json(text)
    assert "\n" not in str(caught.value)
