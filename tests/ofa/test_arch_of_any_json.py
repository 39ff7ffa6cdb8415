"""Whatever JSON says, it is an Arch or refused as none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa.arch import KINDS, Arch, read_arch, write_arch
from ofa.errors import InvalidArch, InvalidInput

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))


@settings(max_examples=150, deadline=None)
@given(VALUES | st.dictionaries(st.sampled_from([*KINDS, "kind", "version"]), VALUES, max_size=4))
def test_any_json_is_an_arch_or_refused(value: Any) -> None:
    try:
        arch = Arch.from_json(json.dumps(value))
    except InvalidArch as error:
        assert "\n" not in str(error)
    else:
        assert Arch.from_json(arch.to_json()) == arch
        assert all(type(number) is int and number >= 0 for number in arch.values.values())


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"width": ' * 10_000, '{"width": {"a": NaN}}', "", '{"width": {"a": 1e9}}']
)
def test_hostile_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidArch):
        Arch.from_json(text)


def test_a_file_is_read_by_us_and_by_plain_json(tmp_path: Path) -> None:
    arch, path = Arch(width={"stem": 8}, depth={"stages.0": 2}), tmp_path / "arch.json"
    write_arch(path, arch)
    assert read_arch(path) == arch == Arch.from_json(path.read_text())
    assert json.loads(path.read_text())["width"] == {"stem": 8}
    path.write_text(path.read_text().replace("8", "16"))
    with pytest.raises(InvalidInput, match=r"arch\.json was edited"):
        read_arch(path)
