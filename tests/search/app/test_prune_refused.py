"""`ofa prune` refuses what cannot be in one line, and leaves what there is as it was."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ofa.checkpoint import load_checkpoint, save_checkpoint
from ofa.errors import InvalidInput
from search.app.main import main
from search.networks.network_files import file_digest
from search.networks.rebuild import load
from search.report.gather_summary import gather_warnings
from search.run.paths import RunFolder
from tests.record_files import rewrite
from tests.search.app.pruned_run import RUN, SPARSE, TINY, card_of, contents


@pytest.mark.parametrize(
    "wrong", [{"scores": {"validation": {}, "test": {"accuracy": {"value": "high"}}}}, {"macs": -1}, {"params": 1.5}]
)
def test_a_card_that_cannot_be_is_refused_though_its_checksum_fits(pruned_copy: Path, wrong: dict[str, object]) -> None:
    for name in ("slim/slim", "sparse"):
        path = pruned_copy / RUN / "prune" / name / "card.json"
        whole = path.read_bytes()
        rewrite(path, lambda card: card.update(wrong))
        with pytest.raises(InvalidInput, match=re.escape(f"{name}/card.json")):
            gather_warnings(RunFolder(pruned_copy / RUN))
        path.write_bytes(whole)
    gather_warnings(RunFolder(pruned_copy / RUN))


def test_masks_that_do_not_fit_are_named(pruned_copy: Path) -> None:
    place = pruned_copy / RUN / "prune/sparse"
    masks, meta = load_checkpoint(place / "masks.safetensors")
    save_checkpoint(place / "masks.safetensors", {**masks, "conv1.weight": ~masks["conv1.weight"]}, meta)
    with pytest.raises(InvalidInput, match=r"masks\.safetensors is not the file that card\.json lists"):
        load(place)
    card = card_of(place)
    card["files"]["masks.safetensors"] = file_digest(place / "masks.safetensors")  # type: ignore[index]
    rewrite(place / "card.json", lambda written: written.update(card))
    with pytest.raises(InvalidInput, match=r"masks\.safetensors is of another network: it removes weights of conv1"):
        load(place)


def test_another_recipe_under_the_same_name_is_refused(pruned_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(pruned_copy)
    assert main([*SPARSE, "prune.sparsity=0.5"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ofa prune")]
    assert "sparsity=0.7 there, 0.5 now" in line and "name=NAME" in line
    assert contents(pruned_copy) == before


WRONG = [
    (
        "prune.sparsity=1.5",
        "prune.sparsity=1.5 must be a number, at least 0 and less than 1, or null (the fraction removed)",
    ),
    ("prune.start=denes", "prune.start='denes' must be one of dense, initial"),
    ("prune=cubik", "prune=cubik is not known; did you mean cubic"),
    ("prune/criterion=magnitud", "did you mean magnitude"),
    ("prune.keep=[nothing]", "keep='nothing' matches no weight"),
    ("prune.retraining.epochs=0", "prune.retraining.epochs=0 must be a whole number"),
    ("prune.retraining.learning_rate=0", "prune.retraining.learning_rate=0 must be a number, more than 0"),
    ("prune.method.rounds_before=3", "add prune/schedule=none"),
    ("prune.schedule.end=1000000", "after the last of"),
    ("+prune.criterion.colour=1", "prune.criterion (ofa.prune.criteria.magnitude): "),
    ("prune/method=widths", "add prune/schedule=none"),
    ("prune/granularity=channel_latency", "outputs/tiny/profiles/onnxruntime.json does not exist"),
    ("export.opset=99", "export.opset=99 must be a whole number from 9 to 20"),
    ("name=a/b", "name='a/b' must be a plain name"),
    ("dense.optimizer.lr=abc", "dense.optimizer.lr='abc' must be a number"),
]


@pytest.mark.parametrize(("override", "message"), WRONG, ids=[override for override, _ in WRONG])
def test_one_clear_line_and_exit_code_2(
    override: str, message: str, pruned_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(pruned_copy)
    arguments = ["prune", *TINY, "name=new", override]
    assert main([one for one in arguments if not (override.startswith("name=") and one == "name=new")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert message in lines[-1]
    assert not [line for line in lines if "Traceback" in line]
    assert contents(pruned_copy) == before
