"""The program of docs/data.md runs, and names what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import ofa.data
from tests.composed import options

PAGE = (Path(__file__).parents[3] / "docs/data.md").read_text()


def test_the_program_of_the_page_runs() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {"__name__": "page"}
    # Worker processes are forked: what the program defines is there without an import.
    exec(compile(program, "docs/data.md", "exec"), names)
    assert names["signals"].shape == (16, 1, 50) and names["labels"].shape == (16,)


def test_the_table_names_what_there_is() -> None:
    rows = [row.split("|")[2:4] for row in PAGE.splitlines() if row.startswith("| ") and "what you have" not in row]
    assert len(rows) == 10
    for configs, functions in rows:
        assert set(re.findall(r"`(\w+)`", configs)) <= {*options("data")}
        assert {name.removeprefix("ofa.data.") for name in re.findall(r"`([\w.]+)`", functions)} <= {*ofa.data.__all__}
