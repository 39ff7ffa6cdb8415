"""What a report shows of the made-up devices in tests/search/comparisons.py."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ofa.paths import write_json
from search.paths import RunFolder
from search.report.data import Compared
from search.report.gather_compared import gather_compared
from search.stages import Stage, written
from tests.search.comparisons import compared


def write_comparison(run: RunFolder, content: dict[str, Any]) -> None:
    """Writes comparison.json with its stamp."""
    with written(Stage("compare", run.comparison, {}), force=True) as target:
        write_json(target, content)


def compared_example(content: dict[str, Any] | None = None) -> Compared:
    """Returns the content of a comparison.json as the report reads it."""
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder) / "demo")
        write_comparison(run, {"searches": "", **(content or compared())})
        found = gather_compared(run)
    assert found is not None
    return found
