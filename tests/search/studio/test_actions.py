"""What is done with a setting: the same network by the page and by the command, kept candidates, what is opened."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from ofa.errors import InvalidInput
from ofa.records import read_record
from ofa.task import Score
from search.app.main import main
from search.candidates.search_files import Trials
from search.config.compressing import StudioSetting
from search.networks.rebuild import load
from search.run.paths import SearchFolder
from search.studio import actions, searching
from search.studio.opened import Opened, open_studio
from search.studio.session import Session
from search.study.warm_start import best_candidates
from tests.search.requests import request
from tests.search.steady_device import steady_device

STEM = "stem.conv.weight"
SETTING: dict[str, Any] = {"layers": {STEM: 0.9}, "sparsity": 0.25, "bits": 5, "arch": {"width.stages.1.0.conv1": 8}}


def told(session: Session, action: str, **body: Any) -> dict[str, Any]:
    pieces: list[Any] = []
    session.actions[action][1](body, pieces.append)
    return {key: value for piece in pieces for key, value in piece.items()}


def test_the_command_writes_what_the_page_writes_and_it_runs_anywhere(
    session: Session, opened: Opened, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(told(session, "extract", setting=SETTING, name="by-page")["folder"])
    command = told(session, "evaluate", setting=SETTING, name="by-command")["command"]
    program, *words = shlex.split(command)
    assert program == "ofa"
    assert main([*words, "calibration_images=128"]) == 0
    other = opened.run.subnet("by-command")
    assert "by-command" in capsys.readouterr().err
    for name in ("model.safetensors", "masks.safetensors", "model.onnx", "verify.npz", "arch.json"):
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name
    check = np.load(folder / "verify.npz")
    (logits,) = onnxruntime.InferenceSession(str(folder / "model.onnx")).run(["logits"], {"input": check["input"]})
    assert np.abs(logits - check["logits"]).max() < 1e-4
    weight = dict(load(folder).named_parameters())[STEM]
    assert float((weight == 0).double().mean()) == pytest.approx(0.9, abs=0.01)
    assert len(weight.unique()) <= 33
    again = open_studio(request("studio", f"path={folder}", "calibration_images=128"))
    assert again.network is not None and set(again.masks) and again.supernet is None
    with pytest.raises(InvalidInput, match="has one shape; open the supernet of a run to choose"):
        again.canonical(StudioSetting(arch={"width.stem.conv": 8}))
    with pytest.raises(InvalidInput, match="by-page is there already; give another name, such as by-page-2"):
        told(session, "extract", setting=SETTING, name="by-page")


def test_a_candidate_is_kept_by_name(session: Session, opened: Opened) -> None:
    for sparsity in (0.2, 0.4):
        rows = told(session, "keep", setting={"sparsity": sparsity}, name="mine")["candidates"]
    (row,) = [row for row in rows if row["name"] == "mine"]
    assert row["setting"] == {"sparsity": 0.4} and "parameters" in row["figures"]
    assert session.state()["candidates"] == rows
    with pytest.raises(InvalidInput, match="must have 1 to 80 characters"):
        told(session, "keep", setting={}, name=" ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["path=nowhere"], "nowhere does not exist: give a run, or the folder of a network in one"),
        (["path=/"], "no run and no network in one.* give model=, data=, start=checkpoint and start.path=/"),
        (["path=outputs/tiny/supernet/config.yaml"], ""),
        (["run=none"], "holds no trained supernet"),
        (["pruned=none", "run=tiny"], "pruned=none"),
    ],
)
def test_what_cannot_be_opened_is_said(place: Path, words: list[str], said: str) -> None:
    if not said:
        assert open_studio(request("studio", *words)).supernet is not None
        return
    with pytest.raises(InvalidInput, match=said):
        open_studio(request("studio", *words))


def test_a_bare_word_is_a_path(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    assert main(["studio", "an odd 'place'"]) == 2
    assert "an odd 'place' does not exist" in capsys.readouterr().err
    assert main(["studio", "outputs/tiny", "pruned=x"]) == 2
    assert "path=outputs/tiny and pruned both name what is opened" in capsys.readouterr().err


def test_a_search_begins_from_here(opened: Opened, session: Session) -> None:
    shaped = session.bench.shape(StudioSetting(arch=SETTING["arch"]), lambda piece: None)
    ask = {
        "name": "from-here",
        "evaluations": 20,
        "limits": {"latency_ms@onnxruntime": 0.5, "params": 9000, "macs": None},
    }
    words = searching.search_arguments(opened, shaped, Score(0.5, 64, 0.01), {"params": 8000.0}, ask)
    assert words[:4] == ["run=tiny", "latency_ms=0.5", "search.limits.params=9000", "study=from-here"]
    assert words[-1] == "search.evaluations=20"
    asked = request("search", *words)
    (path,) = asked.search.warm_start
    assert [candidate.arch for candidate in best_candidates(Path(path), 5)] == [shaped.arch]
    for limits, words in (
        ({}, []),
        ({"params": 9000}, ["search.latency_fractions=null"]),
        ({"latency_ms@pi5": 30, "latency_ms@onnxruntime": 2}, ["latency_ms={pi5:30,onnxruntime:2}"]),
    ):
        said = searching.search_arguments(opened, shaped, Score(0.5, 64), {}, ask | {"limits": limits})
        assert [word for word in said if "latency" in word] == words
    for wrong, said in (
        ({"name": "a/b"}, "name='a/b' must be a plain name"),
        ({"evaluations": 0}, "evaluations=0 must be a whole number"),
        ({"limits": {"param": 1}}, "'param' is not a figure to limit"),
        ({"limits": {"params": -1}}, "params=-1 must be a number of params above 0"),
    ):
        with pytest.raises(InvalidInput, match=said):
            searching.search_arguments(opened, shaped, Score(0.5, 64), {}, ask | wrong)


@pytest.mark.slow
def test_a_search_from_here_tries_the_shape_that_it_begins_with(session: Session, place: Path) -> None:
    quick = [f"device.profile.{word}" for word in ("anchors=6", "visits=4", "blocks=0", "seconds=1")]
    with steady_device():
        assert main(["profile", "run=tiny", *quick]) == 0
    asked = {"name": "hand", "evaluations": 5, "limits": {"params": 1_000_000}}
    said = told(session, "search", setting={"arch": SETTING["arch"], "sparsity": 0.5}, **asked)
    (row,) = said["chosen"]["rows"]
    assert row["limits"] == {"params": 1_000_000} and row["measured"]["latency_ms"] > 0
    shape = session.opened.arch_of(StudioSetting(arch=SETTING["arch"]))
    trials = read_record(SearchFolder(place / "outputs/tiny/search/hand").trials, Trials)
    assert shape in [trial.arch for trial in trials.rows if trial.state == "evaluated"]
    assert main(shlex.split(said["command"])[1:]) == 0  # as pasted: there is nothing left to do


def test_values_are_written_as_hydra_reads_them() -> None:
    assert actions.hydra_text({"layers": {STEM: 0.9}, "bits": 3}) == f"{{layers:{{{STEM}:0.9}},bits:3}}"
