"""The commands of tutorials run as they stand, one after the other in one folder, with less of everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ofa.records import read_record
from search.app.main import main
from search.run.cards import SubnetCard
from tests.documentation import ROOT, commands
from tests.search.steady_device import steady_device
from tests.small_commands import FINALISTS, STAGES, TUNING

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # a minute of processor time, and a machine may be busy
# Programs, your_model and your_device are run by tests/test_docs_programs.py.
PAGES = ("first_subnet", "pruning", "joint_search", "compress")
ELSEWHERE = ("dashboard", "studio")  # serve until they are stopped: tests of their own start them
LESS = {
    "run": (
        "experiment=tiny",
        "run=main",
        "train.epochs=1",
        "device.profile.anchors=8",
        "device.profile.blocks=8",
        *FINALISTS,
    ),
    "search": ("search.evaluations=6", "search.calibration_images=64", *FINALISTS),
    "extract": ("export.calibration_images=64",),
    "report": (),
    "prune": ("model=lenet300", "dense.epochs=1", "prune.retraining.epochs=1"),
    "compress": ("study=joint",),  # one subnet
}


def typed() -> Iterator[list[str]]:
    """The words of each command after `ofa`, with less of everything."""
    for name in PAGES:
        for command in commands(ROOT / f"docs/tutorials/{name}.md"):
            program, verb, *words = command.words
            if program == "ofa" and verb not in ELSEWHERE:
                less = LESS[verb]
                if "search=joint" in words:
                    less += TUNING
                if verb == "compress" and "compress=code_only" not in words:
                    less += STAGES
                keys = {word.partition("=")[0] for word in less}
                yield [verb, *(word for word in words if word.partition("=")[0] not in keys), *less]


def test_commands_of_tutorials_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with steady_device():
        for words in typed():
            assert main(words) == 0, words
    run = tmp_path / "outputs/main"
    assert (run / "report.html").is_file() and (run / "live.html").is_file()
    subnets = [read_record(path, SubnetCard) for path in run.glob("subnets/*/card.json")]
    assert {card.search for card in subnets} == {"onnxruntime", "quick", "joint"}
    assert len([*run.glob("prune/*/card.json")]) == 6  # 0.9 by cubic is asked for twice
    assert len([*run.glob("compressed/*/model.ofaz")]) == 6
