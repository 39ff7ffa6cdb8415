"""What a damaged file says, in the line that a user sees."""

from __future__ import annotations

from ofa.errors import InvalidInput
from search.app.messages import explain


def test_a_line_is_plain_and_not_endless_whatever_a_file_said() -> None:
    said = explain(InvalidInput("a.json has \x1b[31mred\u202e \ud800 and\n\tmore"))
    assert said == "a.json has \\x1b[31mred\\u202e \\ud800 and more"
    said = explain(InvalidInput(f"a.json is damaged ({'x' * 20_000}); restore it"))
    assert said is not None and len(said) < 1100
    assert said.startswith("a.json is damaged (xxx") and said.endswith("xxx); restore it")
