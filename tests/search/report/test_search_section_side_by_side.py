"""Searches side by side in the report: read from their files, in groups that can be compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ofa.records import write_record
from search.analysis.side_by_side import TunedCandidate, TunedSearch
from search.candidates.search_files import Trials
from search.candidates.space import TuningEpoch
from search.report.gather_summary import gather_tuned
from search.report.page import render
from search.report.search_section import side_by_side_section
from search.run.paths import RunFolder, SearchFolder
from search.run.stages import Stage, written
from tests.search.report.example import example
from tests.search.report.rendered import rendered
from tests.search.report.sweep_run import finalists, network, trial
from tests.search.scored import ACCURACY

JOINT = TunedSearch(
    "joint",
    (TunedCandidate(0.95, 0.02, 4000, 2), TunedCandidate(None, 0.01, 1000, 1), TunedCandidate(0.9, 0.01, 2000, 2)),
    ACCURACY,
)
OTHER = TunedSearch("arch<i>", (TunedCandidate(0.93, 0.03, 9000, 2), TunedCandidate(0.91, 0.02, 8000, 2)), ACCURACY)


def test_the_section_compares_at_an_equal_number() -> None:
    html, figures = rendered(side_by_side_section((JOINT, OTHER), "side-by-side-0"))
    assert "<h2>joint and arch&lt;i&gt; side by side</h2>" in html and "<i>" not in html
    assert "up to its first 2 fine-tuned candidates" in html
    assert "joint 3, arch&lt;i&gt; 4" in html
    assert [len(trace["x"]) for trace in figures["side-by-side-0"]["data"]] == [2, 2]
    last = html.split("<tr>")[-1].replace("\N{NO-BREAK SPACE}", " ")
    assert "<b>95.00 %</b>" in last and "<td>93.00 %</td>" in last
    assert "searches beside" not in render(example())
    assert "arch&lt;i&gt; side by side" in render(replace(example(), side_by_side=((JOINT, OTHER),)))


def write(run: RunFolder, name: str, epochs: int | None, accuracy: float | None = 0.9) -> None:
    files = SearchFolder(run.search(name))
    tuning = None if epochs is None else {"epochs": epochs}
    with written(Stage("search", files.root, {"search": {"tuning": tuning}}, amount=1)):
        pass
    write_record(files.finalists, finalists({"latency_ms": "phone"}, [], network(99, {"latency_ms": 1.1})))
    figures = {"latency_ms": 0.5, "bytes": 900.0}
    history = [TuningEpoch(epoch=1, value=0.5), TuningEpoch(epoch=2, value=0.6)]
    rows = [
        trial("given up", figures, 0.5),
        trial("given up", figures, 0.6, history[:1]),
        trial("infeasible", figures, None),
    ]
    if accuracy is not None:
        rows.append(trial("evaluated", figures, accuracy, history))
    write_record(files.trials, Trials(metrics=(ACCURACY,), rows=tuple(rows)))


def test_searches_that_fine_tune_alike_are_grouped(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "main")
    for name, epochs in (("a", 2), ("b", 2), ("longer", 6), ("plain", None)):
        write(run, name, epochs)
    write(run, "none", 2, accuracy=None)
    (group,) = gather_tuned(run, ["a", "b", "longer", "plain", "none"])
    assert [search.name for search in group] == ["a", "b"]
    assert group[0].tuned == (TunedCandidate(None, 0.5, 900.0, 1), TunedCandidate(0.9, 0.5, 900.0, 2))
    assert gather_tuned(run, ["a", "longer"]) == ()
