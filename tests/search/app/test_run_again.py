"""Verbs over a run that is there: skipped, continued, made anew, or refused with nothing touched."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from search.app.main import main
from tests.search.app.tiny_run import QUICK, RUN, TINY, contents


def test_again_skips_everything(tiny_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(tiny_copy)
    before.pop("outputs/tiny/report.html")
    assert main(RUN) == 0
    said = capsys.readouterr()
    assert said.err.count("is there, nothing to do") == 4
    assert "test accuracy" in said.out
    assert "largest" in said.out
    after = contents(tiny_copy)
    after.pop("outputs/tiny/report.html")
    assert after == before


def test_another_configuration_is_refused_and_nothing_touched(
    tiny_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(tiny_copy)
    assert main([*RUN, "seed=1"]) == 2
    assert "seed=0 there, 1 now" in capsys.readouterr().err
    assert contents(tiny_copy) == before


def test_more_evaluations_continue_a_search(tiny_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN, "search.evaluations=20"]) == 0
    assert "search: 20/20" in capsys.readouterr().err
    assert len(json.loads((tiny_copy / "outputs/tiny/search/onnxruntime/trials.json").read_text())["rows"]) >= 20


def test_force_trains_anew_and_says_what_no_longer_fits(tiny_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", TINY, "seed=1", "force=true"]) == 0
    assert main(["search", "run=tiny", *RUN[2:]]) == 2
    assert "was made from another supernet" in capsys.readouterr().err
    assert not (tiny_copy / "outputs/tiny/supernet.new").exists()


DAMAGE = {
    "supernet/model.safetensors": "model.safetensors is truncated or not a checkpoint",
    "supernet/supernet.json": "supernet.json is damaged",
    "supernet/config.yaml": "config.yaml is ",
    "profiles/onnxruntime.json": "onnxruntime.json is damaged",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_truncated_files_are_named_and_left(name: str, tiny_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny_copy / "outputs/tiny" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    before = contents(tiny_copy)
    assert main(["search", *QUICK, "latency_ms=1"]) == 2
    (*_, line) = capsys.readouterr().err.splitlines()
    assert DAMAGE[name] in line
    assert contents(tiny_copy) == before


def test_truncated_checkpoint_is_named_and_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["train", TINY, "train.epochs=1"]
    monkeypatch.setattr("search.app.training._save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert main(arguments) == 130
    assert "the same command continues" in capsys.readouterr().err
    checkpoint = tmp_path / "outputs/tiny/supernet/checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    assert main(arguments) == 2
    assert "checkpoint.safetensors is truncated" in capsys.readouterr().err
    assert checkpoint.stat().st_size == 1000


def test_supernet_of_another_model_is_refused(tiny_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", TINY, "run=other", "model.widths=[16,16,16]", "train.epochs=1"]) == 0
    shutil.copy(tiny_copy / "outputs/other/supernet/model.safetensors", tiny_copy / "outputs/tiny/supernet")
    assert main(["search", *QUICK, "latency_ms=1"]) == 2
    assert "is of a supernet with another space" in capsys.readouterr().err
