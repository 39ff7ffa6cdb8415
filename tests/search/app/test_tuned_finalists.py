"""`ofa search finetune=default`: finalists fine-tuned, the best after it chosen and extracted, gains shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ofa.checkpoint import load_checkpoint
from ofa.records import read_record
from ofa.train import Event
from search.app.main import main
from search.candidates.search_files import Finalists, SubnetList, Trials
from search.networks.folder import SubnetFolder
from search.networks.rebuild import load
from search.run.cards import SubnetCard, TunedCard
from search.run.paths import RunFolder, SearchFolder
from search.subnets import finetune as training
from tests.search.app.tiny_run import MET, QUICK

RUN = RunFolder(Path("outputs/tiny"))
SEARCH = ["search", *QUICK, MET, "search.calibration_images=64", "search.finalists.candidates=2"]
TUNED = [*SEARCH, "study=tuned", "finetune=default", "finetune.epochs=2"]


def finalists(name: str) -> Finalists:
    return read_record(SearchFolder(RUN.search(name)).finalists, Finalists)


@pytest.mark.slow
def test_the_best_after_fine_tuning_is_chosen_and_extracted_with_its_weights(
    tiny_copy: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*SEARCH, "study=raw"]) == 0
    assert main(TUNED) == 0
    told = capfd.readouterr().err
    (before,), (after,) = (finalists(name).finalists for name in ("raw", "tuned"))
    files = SearchFolder(RUN.search("tuned"))
    assert before.chosen.tuned is None and not before.chosen.raw and before.chosen.gain is None
    assert "raw" not in SearchFolder(RUN.search("raw")).finalists.read_text()
    rows = [read_record(SearchFolder(RUN.search(name)).trials, Trials).rows for name in ("raw", "tuned")]
    assert [row.scores for row in rows[0]] == [row.scores for row in rows[1]]  # the study is the same
    cards = [read_record(path, TunedCard) for path in files.root.glob("tuned/*/card.json")]
    assert len(cards) == after.chosen.among == 2
    assert after.chosen.score.value == max(card.scores.validation["accuracy"].value for card in cards)
    known = {row.arch: row.scores for row in rows[1]}
    assert after.chosen.raw == known[after.chosen.arch]
    assert after.chosen.gain is not None and after.chosen.gain.standard_error is not None
    assert after.chosen.gain.value == pytest.approx(after.chosen.score.value - after.chosen.raw["accuracy"].value)
    assert after.chosen.measured["latency_ms"] <= 1000 and "fine-tuned, the best of 2: " in told

    assert after.chosen.tuned is not None
    assert main(["extract", "run=tiny", "study=tuned", "export.calibration_images=64"]) == 0
    (row, _) = read_record(RUN.subnet_list("tuned"), SubnetList).rows
    card = read_record(SubnetFolder(RUN.root / str(row.folder)).card, SubnetCard)
    weights = load_checkpoint(files.tuned(after.chosen.tuned).weights)[0]
    assert all(
        torch.equal(value, weights[name]) for name, value in load(RUN.root / str(row.folder)).state_dict().items()
    )
    assert card.scores is not None and card.scores.validation["accuracy"] == after.chosen.score
    assert card.raw is not None and card.raw.validation["accuracy"].value == after.chosen.raw["accuracy"].value
    assert card.gain is not None and card.gain.validation == after.chosen.gain and row.gain == card.gain
    assert main(["report", "run=tiny"]) == 0
    page = RUN.report.read_text()
    assert "before fine-tuning" in page and "the best of 2 on validation" in page
    capfd.readouterr()
    assert main(["finetune", "run=tiny", "study=tuned"]) == 2
    assert "has fine-tuned its subnets itself" in capfd.readouterr().err


@pytest.mark.slow
def test_a_killed_fine_tuning_goes_on_and_ends_with_the_same_choice(
    tiny_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = [*TUNED, "finetune.checkpoint_seconds=0", "search.finalists.candidates=1"]
    assert main(way) == 0
    whole = finalists("tuned").finalists
    original = training.train_network

    def killed(*arguments: Any, callbacks: Any = (), **options: Any) -> Any:
        def stop(event: Event, state: Any) -> None:
            if event is Event.STEP and state.step == 5:
                raise KeyboardInterrupt

        return original(*arguments, callbacks=[*callbacks, stop], **options)

    monkeypatch.setattr(training, "train_network", killed)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        raise SystemExit(main([*way, "study=killed"]))
    assert list(RUN.searches.glob("killed*/tuned/*/checkpoint.safetensors"))
    monkeypatch.setattr(training, "train_network", original)
    assert main([*way, "study=killed"]) == 0
    (one,), (other,) = whole, finalists("killed").finalists
    assert (one.chosen.arch, one.chosen.scores, one.chosen.gain, one.chosen.tuned) == (
        *(other.chosen.arch, other.chosen.scores, other.chosen.gain, other.chosen.tuned),
    )
    folders = [SearchFolder(RUN.search(name)).tuned(str(one.chosen.tuned)) for name in ("tuned", "killed")]
    first, second = (load_checkpoint(folder.weights)[0] for folder in folders)
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["search=joint"], "search.tuning fine-tunes the finalists itself"),
        (["finetune.epochs=0"], "finetune.epochs=0"),
        (["finetune.distil=1"], "distil"),
        (["finetune.device=gpu"], "finetune.device=gpu cannot be used here"),
        (["finetune.optimizer={_target_: torch.optim.SGD, _partial_: true, lr: -1}"], "finetune.optimizer: Invalid"),
    ],
)
def test_what_cannot_be_is_refused_before_the_search(
    tiny_copy: Path, capfd: pytest.CaptureFixture[str], overrides: list[str], words: str
) -> None:
    assert main([*TUNED, *overrides]) != 0
    assert words in capfd.readouterr().err
    assert not RUN.search("tuned").exists()
