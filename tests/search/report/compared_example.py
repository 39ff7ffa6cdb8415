"""What a report shows of the made-up devices in tests/search/subnets/comparisons.py."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ofa.records import write_record
from search.report.compare_section import gather_compared
from search.report.data import Compared
from search.run.paths import RunFolder
from search.run.result_files import Comparison
from search.run.stages import Stage, written
from tests.search.subnets.comparisons import compared


def write_comparison(run: RunFolder, content: Comparison) -> None:
    """Writes comparison.json with its stamp."""
    with written(Stage("compare", run.comparison, {}), force=True) as target:
        write_record(target, content)


def compared_example(content: Comparison | None = None) -> Compared:
    """Returns a comparison as the report reads it."""
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder) / "demo")
        write_comparison(run, content or compared())
        found = gather_compared(run)
    assert found is not None
    return found
