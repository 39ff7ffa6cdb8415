"""Ruined networks are said in the terminal, on the card and in the report; sound ones are not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from search.app.main import main

TINY = ["data=synthetic", "data.dataset.image_size=8", "data.dataset.samples=320", "model=resnet20", "model.depth=8"]
VERDICT = "(?:no better than|within two standard errors of)"
PRUNE = [*TINY, "dense.epochs=3", "dense.batch_size=32"]


def report(outputs: Path) -> str:
    assert main(["report", f"outputs={outputs}"]) == 0
    return (outputs / "main" / "report.html").read_text()


def test_a_training_at_chance_level(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Images are noise, and next to nothing is learned: whatever the processor rounds, scores are those of chance."""
    noise = ["data.dataset.noise=1e6", "train.epochs=3", "train.batch_size=32", "train.optimizer.lr=1e-6"]
    assert main(["train", *TINY, *noise, f"outputs={tmp_path}"]) == 0

    said = capfd.readouterr().err
    line = rf"the (largest|smallest) subnet is {VERDICT} the baseline"
    early = rf"warning: {line}: accuracy \S+ % on 64 .*, after 1 of 3 epochs: lower the learning rate \(now \S+e-07\)"
    assert re.findall(early, said) == ["largest", "smallest"]
    card = json.loads((tmp_path / "main" / "supernet" / "supernet.json").read_text())
    assert re.findall(line, "\n".join(card["warnings"])) == ["largest", "smallest"]
    page = report(tmp_path)
    assert "2 warnings" in page and re.search(line, page)


def test_a_network_of_next_to_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", *PRUNE, "prune=one_shot", "prune.sparsity=0.9999", f"outputs={tmp_path}"]) == 0

    said = capfd.readouterr().err
    assert "under 0.1 % of the weights" in said and "different examples are the same" in said
    (card,) = (tmp_path / "main" / "prune").glob("*/card.json")
    assert json.loads(card.read_text())["warnings"]
    assert "different examples are the same" in report(tmp_path)


def test_what_is_sound_is_not_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", *PRUNE, "prune=every_epoch", "prune.sparsity=0.5", f"outputs={tmp_path}"]) == 0

    (card,) = (tmp_path / "main" / "prune").glob("*/card.json")
    content = json.loads(card.read_text())
    assert content["warnings"] == [] and content["density"] == pytest.approx(0.5, abs=1e-3)
    assert "warning" not in capfd.readouterr().err
    assert "warnings</h3>" not in report(tmp_path)


def test_a_sparsity_that_nothing_goes_by(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", *PRUNE, "prune=cubic", "prune/schedule=none", "baseline=false", f"outputs={tmp_path}"]) == 0
    assert "prune.sparsity=0.9 has no effect: the recipe has no schedule" in capfd.readouterr().err

    tickets = ["prune=lottery", "prune.method.rounds=1", "prune.method.controls=[]", "dense.epochs=1"]
    assert main(["prune", *PRUNE, *tickets, "prune.sparsity=0.95", f"outputs={tmp_path}"]) == 0
    assert "prune.sparsity=0.95 has no effect: prune=lottery uses prune.method" in capfd.readouterr().err
