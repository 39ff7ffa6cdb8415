"""A search run from Python by its request alone, without Hydra: as the command, resumed, refused, made again."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from msgspec.structs import replace

from ofa.checkpoint import weights
from ofa.compress.ofaz import encoded
from ofa.errors import InvalidInput
from ofa.identity import digest_of
from ofa.records import read_record
from search.app.main import main
from search.candidates.search_files import Finalists, TrialRow, Trials
from search.config.request import Device, Sampling
from search.config.search import FigureLimits, FinalistSettings, SearchOptions, SearchRequest
from search.config.verbs import Export, ExtractRequest
from search.device.devices import search_devices
from search.networks.compressed_file import ofaz_card
from search.networks.folder import SubnetFolder
from search.networks.network_files import file_digest
from search.networks.rebuild import load
from search.run.cards import SubnetCard
from search.run.paths import SearchFolder
from search.run.scores import first
from search.subnets.extract_stage import extract_stage
from search.subnets.run_search import check_search, run_search
from search.training.trained import Trained, load_trained
from tests.search.simulated_clock import run_of, simulated_clock


class Steady:
    """A runtime that takes a time for each weight."""

    name = "steady"

    def load(self, net: Any, example_input: Any) -> Any:
        return run_of(40 + 0.005 * sum(each.numel() for each in net.parameters()))

    def describe(self) -> dict[str, Any]:
        return {"name": "steady", "threads": 1}


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchRequest]:
    module = ModuleType("runtime_that_is_steady")
    module.Steady = Steady  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    outputs = tmp_path_factory.mktemp("search") / "outputs"
    assert main(["train", "experiment=tiny", "train.epochs=1", f"outputs={outputs}"]) == 0
    yield SearchRequest(
        run="tiny",
        outputs=str(outputs),
        device=Device(
            name="steady",
            runtime={"_target_": "runtime_that_is_steady.Steady"},
            profile=Sampling(anchors=8, blocks=0, visits=6, repeats=2, seconds=2.0, alignment=False),
        ),
        search=SearchOptions(
            evaluations=6,
            limits=FigureLimits(params=1e5),
            latency_fractions=None,
            calibration_images=64,
            artifacts=False,
            finalists=FinalistSettings(candidates=1, visits=6, repeats=2, seconds=1.0),
        ),
        sampler={"_target_": "search.samplers.random", "_partial_": True},
    )
    del sys.modules[module.__name__]


@pytest.fixture(scope="module")
def trained(request_: SearchRequest) -> Trained:
    return load_trained(request_.folder)


def searched(request: SearchRequest, trained: Trained) -> tuple[bool, tuple[TrialRow, ...]]:
    """Returns whether a search ran, and its trials."""
    with simulated_clock():
        check_search(request)
        devices = search_devices(request, trained, force=False, as_it_is=True)
        ran = run_search(request, trained, devices)
    return ran, read_record(SearchFolder(request.folder.search(request.name)).trials, Trials).rows


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


class Integers(Steady):
    """The same, in int8 as it says."""

    def describe(self) -> dict[str, Any]:
        return {"name": "integers", "threads": 1, "precision": "int8"}


def test_on_a_device_of_int8_finalists_are_judged_and_written_in_int8(
    request_: SearchRequest, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    sys.modules["runtime_that_is_steady"].Integers = Integers  # type: ignore[attr-defined]
    device = replace(request_.device, name="integers", runtime={"_target_": "runtime_that_is_steady.Integers"})
    wider = replace(request_.search, finalists=replace(request_.search.finalists, candidates=3))
    request = replace(request_, device=device, search=wider)
    assert searched(request, trained)[0]
    files = SearchFolder(request.folder.search("integers"))
    (finalist,) = read_record(files.finalists, Finalists).finalists
    chosen = finalist.chosen
    assert list(chosen.int8) == list(chosen.scores)
    assert chosen.int8_gain is not None
    assert chosen.int8_gain.value == pytest.approx(first(chosen.int8).value - chosen.score.value)
    assert f"; in int8 {100 * first(chosen.int8).value:.2f}" in capsys.readouterr().err
    extract = ExtractRequest(run=request.run, outputs=request.outputs)
    row, largest = extract_stage(extract, trained, "integers", force=False).rows
    assert row.quantized is not None and row.quantized.precision == "int8" and largest.quantized is None
    assert row.folder is not None
    folder = SubnetFolder(request.folder.root / row.folder)
    card = read_record(folder.card, SubnetCard)
    assert card.quantized == row.quantized
    assert card.files["model.int8.onnx"] == file_digest(folder.quantized("int8"))
    assert folder.quantized("int8").stat().st_size == row.quantized.bytes
    assert {path.name for path in folder.root.iterdir()} - {each.name for each in folder.files} == {"model.int8.onnx"}
    without = replace(extract, export=Export(quantize=None), force=True)
    row, _ = extract_stage(without, trained, "integers", force=True).rows
    assert row.quantized is None and not folder.quantized("int8").exists()


def test_limits_on_sizes_in_int8_are_kept_by_the_files_of_finalists(
    request_: SearchRequest, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = FigureLimits(int8_bytes=20_000, int8_peak_bytes=1e6)
    request = replace(request_, study="flash", search=replace(request_.search, limits=limits))
    _, rows = searched(request, trained)
    assert all((row.figures["int8_bytes"] <= 20_000) == (row.state != "infeasible") for row in rows)
    (finalist,) = read_record(SearchFolder(request.folder.search("flash")).finalists, Finalists).finalists
    sizes, predicted = finalist.chosen.int8_sizes, finalist.chosen.figures
    assert sizes["int8_bytes"] == pytest.approx(predicted["int8_bytes"], rel=0.05) and sizes["int8_bytes"] <= 20_000
    assert 0 < sizes["int8_peak_bytes"] < 1e6
    assert re.search(r"sizes in int8 are predicted, off by int8_bytes [\d.]+ % and", capsys.readouterr().err)


def test_on_other_devices_nothing_is_quantized_unless_asked_for(request_: SearchRequest, trained: Trained) -> None:
    request = replace(request_, study="floats")
    searched(request, trained)
    (finalist,) = read_record(SearchFolder(request.folder.search("floats")).finalists, Finalists).finalists
    assert not finalist.chosen.int8 and finalist.chosen.int8_gain is None
    extract = ExtractRequest(run=request.run, outputs=request.outputs)
    assert extract_stage(extract, trained, "floats", force=False).rows[0].quantized is None
    asked = replace(extract, export=Export(quantize="int4"), force=True)
    low = extract_stage(asked, trained, "floats", force=True).rows[0].quantized
    assert low is not None and low.precision == "int4" and low.bytes < low.float_bytes


def test_a_limit_of_bytes_on_disk_is_kept_by_the_file_itself(
    request_: SearchRequest, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = FigureLimits(bytes_on_disk=25_000)
    request = replace(request_, study="disk", search=replace(request_.search, limits=limits))
    _, rows = searched(request, trained)
    assert all((row.figures["bytes_on_disk"] <= 25_000) == (row.state != "infeasible") for row in rows)
    (finalist,) = read_record(SearchFolder(request.folder.search("disk")).finalists, Finalists).finalists
    size = finalist.chosen.file_bytes
    assert size is not None and 0.95 * finalist.chosen.figures["bytes_on_disk"] < size <= 25_000
    said = capsys.readouterr().err
    assert f"{size:,} bytes on disk (" in said
    assert re.search(r"bytes on disk of subnets are predicted, off by [\d.]+ % on those of \d+", said)
    extract = ExtractRequest(run=request.run, outputs=request.outputs, export=Export(calibration_images=64))
    row = extract_stage(extract, trained, "disk", force=False).rows[0]
    assert row.folder is not None and row.bytes_on_disk == size
    folder = SubnetFolder(request.folder.root / row.folder)
    net, card = load(folder.root), read_record(folder.card, SubnetCard)
    written = encoded(weights(net), ofaz_card(card.rebuild, finalist.chosen.arch, (), digest_of(net)))[0]
    assert len(written) == size


def test_bytes_on_disk_that_no_subnet_has_are_refused(request_: SearchRequest, trained: Trained) -> None:
    limits = FigureLimits(bytes_on_disk=2000)
    request = replace(request_, study="nothing", search=replace(request_.search, limits=limits))
    with pytest.raises(InvalidInput, match=r"bytes_on_disk=2000 bytes cannot be met: the smallest reachable is"):
        searched(request, trained)
