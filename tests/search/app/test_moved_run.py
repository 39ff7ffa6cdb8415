"""A run that is addressed absolutely, moved, renamed or copied: every verb goes on, nothing is done again."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from search.app.main import main
from search.config.request import run_text
from search.report.dashboard import make_dashboard
from search.run.contents import relative_paths
from search.run.paths import RunFolder, SearchFolder

pytestmark = pytest.mark.slow  # a whole run is made, moved and gone on with

OLD = "a-place-of-old"
MET = ["latency_ms=[1000,2000]", "study=onnxruntime"]  # limits that everything meets
QUICK = ["search.evaluations=6", "search.finalists.seconds=1", "search.finalists.visits=6"]
CHANNELS = [  # of so small a net hardly any milliseconds can be removed
    *("prune", "model=resnet20", "model.depth=8", "model.widths=[16,16,32]"),
    *("data=synthetic", "data.dataset.image_size=8", "data.dataset.samples=320"),
    *("dense.epochs=1", "prune=channels_latency", "prune.retraining.epochs=1", "prune.sparsity=0.0001"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The outputs of a whole run and its comparison, addressed absolutely."""
    outputs = tmp_path_factory.mktemp("moved") / OLD / "outputs"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        assert main(["run", "experiment=tiny", *QUICK[:1], *MET, f"outputs={outputs}"]) == 0
        for verb in ("report", "compare"):
            assert main([verb, "run=tiny", f"outputs={outputs}"]) == 0
        yield outputs


@pytest.fixture
def moved(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The run under another name in another folder, which is the current one; the old one is hidden."""
    shutil.copytree(made / "tiny", tmp_path / "runs/newname")
    hidden = made.with_name("hidden")
    made.rename(hidden)
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "runs/newname"
    hidden.rename(made)


def rows_of(path: Path) -> list[dict[str, Any]]:
    content = json.loads(path.read_text())
    return list(content["rows"] if isinstance(content, dict) else content)


def finished(run: Path) -> dict[str, bytes]:
    """What a later verb has no reason to touch."""
    kept = ["supernet/*", "profiles/*.json", "search/*/*.json", "subnets/*/*", "subnets/*.json", "comparison*.json"]
    return {str(path.relative_to(run)): path.read_bytes() for name in kept for path in run.glob(name) if path.is_file()}


def test_no_file_knows_where_the_run_was(made: Path) -> None:
    files = [path for path in (made / "tiny").rglob("*") if path.is_file() and path.name != "report.html"]
    assert len(files) > 20
    assert [path for path in files if OLD.encode() in path.read_bytes()] == []
    row, *_ = rows_of(made / "tiny/subnets/onnxruntime.json")
    assert (made / "tiny" / row["folder"] / "model.onnx").is_file()


def test_a_moved_and_renamed_run_goes_on(moved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["run=newname", "outputs=runs"]
    before = finished(moved)
    assert main(["run", "experiment=tiny", *QUICK[:1], *MET, *where]) == 0
    shown = capsys.readouterr()
    assert shown.err.count("is there, nothing to do") == 4
    assert "runs/newname/subnets/" in shown.out
    for command in (["extract", "export.calibration_images=128"], ["compare"], ["report"]):
        assert main([*command, *where]) == 0
    assert finished(moved) == before
    page = (moved / "report.html").read_text()
    assert OLD not in page + shown.out + shown.err
    assert "run=newname outputs=runs" in page
    assert main(["run", "experiment=tiny", "search.evaluations=8", *MET, *where]) == 0
    assert sum(row["state"] == "evaluated" for row in rows_of(moved / "search/onnxruntime/trials.json")) == 8
    assert main(["sweep", *where]) == 0


def test_notes_name_the_run_as_it_is_called_now(moved: Path) -> None:
    run = RunFolder(Path("runs/newname"))
    files = SearchFolder(run.search("onnxruntime"))
    server = make_dashboard(files.journal, 0, files.artifacts, run_text(run))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with urlopen(f"http://127.0.0.1:{server.server_port}/api/studies/0") as answer:
            text = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
    assert "ofa extract run=newname outputs=runs study=onnxruntime trial=" in text
    assert "run=THIS" not in text


def test_a_pruned_network_that_needs_a_profile_is_found_again(moved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for run in ("newname", "other"):
        if run == "other":
            (moved.parent / "newname").rename(moved.parent / "other")
        assert main([*CHANNELS, f"run={run}", f"outputs={moved.parent.absolute()}"]) == 0
    assert capsys.readouterr().err.count("is there, nothing to do") == 2
    assert len(list((moved.parent / "other/prune").iterdir())) == 1


def test_paths_into_the_run_are_relative_and_others_stay() -> None:
    run = RunFolder(Path("outputs/tiny"))
    value = {
        "a": ["outputs/tiny/profiles/x.json", str(Path("outputs/tiny/y").absolute())],
        "b": "/data/set",
        "c": "tiny",
    }
    assert relative_paths(value, run) == {"a": ["profiles/x.json", "y"], "b": "/data/set", "c": "tiny"}
