"""Sizes of finalists: in int8 on devices that compute so, and as limits that their files keep."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest
from msgspec.structs import replace

from ofa.checkpoint import weights
from ofa.compress.ofaz import encoded
from ofa.errors import InvalidInput
from ofa.identity import digest_of
from ofa.records import read_record
from search.candidates.search_files import Finalists
from search.config.search import FigureLimits, SearchRequest
from search.config.verbs import Export, ExtractRequest
from search.networks.compressed_file import ofaz_card
from search.networks.folder import SubnetFolder
from search.networks.network_files import file_digest
from search.networks.rebuild import load
from search.run.cards import SubnetCard
from search.run.paths import SearchFolder
from search.run.scores import first
from search.subnets.extract_stage import extract_stage
from search.training.trained import Trained
from tests.search.subnets.steady import Steady, searched


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
    limits = FigureLimits(int8_bytes=32_000, int8_peak_bytes=1e6)
    request = replace(request_, study="flash", search=replace(request_.search, limits=limits))
    _, rows = searched(request, trained)
    assert all((row.figures["int8_bytes"] <= 32_000) == (row.state != "infeasible") for row in rows)
    (finalist,) = read_record(SearchFolder(request.folder.search("flash")).finalists, Finalists).finalists
    sizes, predicted = finalist.chosen.int8_sizes, finalist.chosen.figures
    assert sizes["int8_bytes"] == pytest.approx(predicted["int8_bytes"], rel=0.05) and sizes["int8_bytes"] <= 32_000
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
