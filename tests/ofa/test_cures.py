"""Every reason that the code gives has an entry among the cures, and so does the table in the documentation."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ofa.cures import CURES, cure_of

ROOT = Path(__file__).parents[2]
NOTHING_TO_DO = ("input", "output", "vocabulary", "single entry")


def reasons() -> list[str]:
    """What `tracer.reason` and `trace.fix` are given as plain text, anywhere in the rules."""
    found = set()
    for path in (ROOT / "ofa/structure").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("reason", "fix")
            ):
                found |= {
                    arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
                }
    return sorted(found)


def test_there_are_reasons() -> None:
    assert {"meets a constant", "is the network's output"} <= set(reasons())


@pytest.mark.parametrize("reason", reasons())
def test_a_reason_has_a_cure_or_needs_none(reason: str) -> None:
    assert any(part in reason for part, _ in CURES), reason
    if not any(word in reason for word in NOTHING_TO_DO):
        assert cure_of(f"{reason}, in aten.view at net.py:3 `x`")


@pytest.mark.parametrize(("part", "cure"), CURES)
def test_the_documentation_has_it(part: str, cure: str) -> None:
    row = f"| `{part}` | {cure or 'nothing: it stays'} |"
    assert row in (ROOT / "docs/your_model.md").read_text(), f"docs/your_model.md lacks\n{row}"
