"""A search run from Python by its request alone, without Hydra: as the command, resumed, refused, made again."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ofa.errors import InvalidInput
from ofa.records import read_record
from search.app.main import main
from search.candidates.search_files import TrialRow, Trials
from search.config.search import FigureLimits, SearchRequest
from search.device.devices import search_devices
from search.run.paths import SearchFolder
from search.subnets.run_search import run_search
from search.training.trained import Trained
from tests.search.simulated_clock import simulated_clock
from tests.search.subnets.steady import searched


def proposed(rows: tuple[TrialRow, ...]) -> list[Any]:
    return [(row.number, row.arch, row.state, row.score) for row in rows]


def test_it_runs_once_resumes_for_more_and_is_refused_for_another(request_: SearchRequest, trained: Trained) -> None:
    ran, rows = searched(request_, trained)
    assert ran and request_.name == "steady"
    assert sum(row.state == "evaluated" for row in rows) == 6
    assert searched(request_, trained) == (False, rows)
    assert searched(replace(request_, threads=2, workers=2), trained)[0] is False  # neither decides anything
    more = replace(request_, search=replace(request_.search, evaluations=9))
    ran, longer = searched(more, trained)
    assert ran and proposed(longer)[: len(rows)] == proposed(rows)
    assert sum(row.state == "evaluated" for row in longer) == 9
    other = replace(request_, search=replace(request_.search, refusals=11))
    with pytest.raises(InvalidInput, match=r"search\.refusals=10 there, 11 now"):
        searched(other, trained)
    ran, again = searched(replace(more, force=True), trained)
    assert ran and proposed(again) == proposed(longer)


def test_why_it_ended_early_is_kept_and_said(
    request_: SearchRequest, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    short = replace(
        request_,
        study="short",
        search=replace(request_.search, evaluations=40, patience=2),
        logger={"csv": {"_target_": "ofa.loggers.CsvLogger", "_partial_": True}},
    )
    devices = search_devices(short, trained, force=False)
    assert run_search(short, trained, devices)
    trials = read_record(SearchFolder(short.folder.search("short")).trials, Trials)
    assert trials.ended == (
        f"ended after {sum(row.state == 'evaluated' for row in trials.rows)} of 40 evaluations: "
        "2 evaluations in a row (search.patience) improved nothing"
    )
    logs = short.folder.root / "logs/search"
    with (logs / "short.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    scored = [row for row in trials.rows if row.state == "evaluated"]
    assert [int(row["step"]) for row in rows] == list(range(1, len(scored) + 1))
    assert [int(row["trial"]) for row in rows] == [row.number for row in scored]
    assert all(0 <= float(row["accuracy"]) <= 1 and float(row["latency_ms"]) > 0 for row in rows)
    assert (logs / "short/finalists.csv").read_text().count("\n") >= 2
    capsys.readouterr()
    assert not run_search(short, trained, devices)
    assert trials.ended in capsys.readouterr().err


def test_it_is_the_search_of_the_command(request_: SearchRequest, trained: Trained) -> None:
    _, rows = searched(replace(request_, study="python"), trained)
    overrides = [
        *("run=tiny", f"outputs={request_.outputs}", "study=command", "sampler=random", "device.name=steady"),
        *("device.runtime._target_=runtime_that_is_steady.Steady", "~device.runtime.threads"),
        *("device.profile.anchors=8", "device.profile.blocks=0", "device.profile.visits=6", "device.profile.repeats=2"),
        *("device.profile.seconds=2", "device.profile.alignment=false", "search.latency_fractions=null"),
        *("search.evaluations=6", "search.limits.params=1e5", "search.calibration_images=64"),
        *("search.artifacts=false", "search.finalists.candidates=1", "search.finalists.visits=6"),
        *("search.finalists.repeats=2", "search.finalists.seconds=1"),
    ]
    with simulated_clock():
        assert main(["search", *overrides]) == 0
    folder = SearchFolder(Path(request_.outputs) / "tiny/search/command")
    assert proposed(read_record(folder.trials, Trials).rows) == proposed(rows)


def test_what_is_wrong_is_said_before_anything_is_written(request_: SearchRequest, trained: Trained) -> None:
    for wrong, said in (
        (replace(request_, study="x", search=replace(request_.search, evaluations=0)), "search.evaluations=0 must be"),
        (replace(request_, study="x", search=replace(request_.search, limits=FigureLimits(params=1.0))), "params"),
    ):
        with pytest.raises(InvalidInput, match=said.replace(".", r"\.")):
            run_search(wrong, trained, search_devices(request_, trained, force=False, as_it_is=True))
        assert not wrong.folder.search("x").exists()
