"""The commands on a page, pasted one after another in a new folder, make the same run."""

from __future__ import annotations

import json
import shlex
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from search.app.main import main
from tests.search.app.tiny_run import MET, RUN

# Every verb with a stage of its own, over the tiny run; the second search begins with what the first found, though
# its name comes first.
STAGES = [
    [
        *("search", "run=tiny", MET, "search=joint", "study=again", "search.warm_start=[onnxruntime]"),
        *("search.evaluations=4", "search.finalists.seconds=1", "search.finalists.visits=6"),
        *("search.tuning.epochs=1", "search.tuning.zero_shot=0", "search.tuning.finalist_epochs=1"),
    ],
    ["finetune", "run=tiny", "study=onnxruntime", "finetune.epochs=1", "limit=1000"],
    [
        *("prune", "run=tiny", "model=lenet5", "data=synthetic", "data.dataset.image_size=8"),
        *(
            "data.dataset.samples=320",
            "dense.epochs=1",
            "prune=one_shot",
            "prune.retraining.epochs=1",
            "name=small one",
        ),
    ],
    ["compress", "run=tiny", "study=onnxruntime", "limit=2000", "compress=code_only"],
    ["compare", "run=tiny", "visits=6", "repeats=2", "seconds=1", "calibration_images=64"],
]


def commands_on(page: Path) -> list[list[str]]:
    """The words of the commands that a page gives, as a shell has them."""
    shown = unescape(page.read_text().split("How to reproduce")[1].split('<pre tabindex="0">')[1].split("</pre>")[0])
    lines = [shlex.split(line) for line in shown.splitlines()]
    assert {words[0] for words in lines} == {"ofa"}
    return [words[1:] for words in lines]


def known(run: Path) -> dict[str, Any]:
    """What two runs have alike that are made by the same commands: digests, choices and scores by file."""
    files = [run / "supernet/supernet.json", *run.glob("*/*/card.json")]
    cards = {str(path.relative_to(run)): json.loads(path.read_text()) for path in files}
    keys = ("digest", "scores", "arch", "limits")
    return {name: {key: card.get(key) for key in keys} for name, card in cards.items()}


@pytest.mark.slow
def test_every_command_of_every_stage_can_be_pasted(tiny_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for stage in STAGES:
        assert main(stage) == 0, stage
    assert main(["report", "run=tiny"]) == 0
    run = Path("outputs/tiny")
    commands = commands_on(tiny_copy / run / "report.html")
    served = [words for words in commands if words[0] == "dashboard"]  # until it is stopped: see the dashboard's tests
    assert [words for words in commands if words not in served] == [RUN, *STAGES, ["report", "run=tiny"]]
    assert [words[-1] for words in served] == ["study=again", "study=onnxruntime"]

    fresh = tiny_copy / "fresh"
    fresh.mkdir()
    monkeypatch.chdir(fresh)
    for words in commands:
        assert main([*words, "--cfg", "job"] if words in served else words) == 0, words
    assert known(fresh / run) == known(tiny_copy / run)
    assert commands_on(fresh / run / "report.html") == commands
