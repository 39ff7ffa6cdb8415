"""`ofa finetune`: chosen subnets trained to the end, in the place of those with the supernet's weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace

from ofa.checkpoint import load_checkpoint
from ofa.records import read_record, write_record
from ofa.train import Event
from search.app.main import main
from search.candidates.search_files import Finalists, SubnetList
from search.networks.folder import SubnetFolder
from search.networks.rebuild import load
from search.run.cards import SubnetCard
from search.run.paths import RunFolder, SearchFolder
from search.subnets import finetune as training
from search.subnets.chosen import searches_for
from tests.search.app.tiny_run import contents

RUN = RunFolder(Path("outputs/tiny"))
FINETUNE = ["finetune", "run=tiny", "finetune.epochs=2", "limit=1000"]
ONE, OTHER = (RUN.subnet(f"onnxruntime-{limit}ms") for limit in (1000, 2000))


def card_of(folder: Path) -> SubnetCard:
    return read_record(SubnetFolder(folder).card, SubnetCard)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_checkpoint(SubnetFolder(folder).weights)[0])


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def check_beside_the_largest(card: SubnetCard) -> None:
    (largest,) = (row for row in read_record(RUN.subnet_list("onnxruntime"), SubnetList).rows if row.largest)
    assert card.from_largest is not None and card.scores is not None and largest.from_largest is None
    for part in ("validation", "test"):
        apart = getattr(card.from_largest, part)
        one, other = (getattr(scores, part)["accuracy"] for scores in (card.scores, largest.scores))
        assert apart.value == pytest.approx(one.value - other.value) and apart.examples == one.examples
        assert apart.standard_error is not None


def test_the_fine_tuned_subnet_takes_the_place_and_both_scores_stay(
    tiny_copy: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before, others, raw = card_of(ONE), contents(OTHER), weights_of(ONE)
    assert main(FINETUNE) == 0
    told = capfd.readouterr()
    assert "difference" in told.out and "1000 ms" in told.out and "2000 ms" not in told.out
    after = card_of(ONE)
    assert after.raw == before.scores and after.finetuned and before.finetuned is None
    assert (after.arch_digest, after.limits, after.measured) == (before.arch_digest, before.limits, before.measured)
    assert not same(weights_of(ONE), raw) and contents(OTHER) == others
    check_beside_the_largest(before)
    check_beside_the_largest(after)
    net = load(ONE)
    data = load_checkpoint(RUN.finetuned / ONE.name / "model.safetensors")[0]
    assert same(dict(net.state_dict()), {name: data[name] for name in net.state_dict()})
    rows = {row.folder: row for row in read_record(RUN.subnet_list("onnxruntime"), SubnetList).rows}
    assert rows[f"subnets/{ONE.name}"].raw == before.scores and rows[f"subnets/{ONE.name}"].scores == after.scores
    assert rows[f"subnets/{OTHER.name}"].raw is None
    assert main(["report", "run=tiny"]) == 0
    page = RUN.report.read_text()
    assert page.count("before fine-tuning") == page.count("by fine-tuning") == 1


@pytest.mark.slow
def test_it_is_done_once_and_put_in_place_again_after_an_extraction(
    tiny_copy: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = weights_of(ONE)
    assert main(FINETUNE) == 0
    tuned, card = weights_of(ONE), contents(ONE)
    monkeypatch.setattr("search.subnets.finetune_stage.finetune", None)  # nothing is trained from here on
    assert main(FINETUNE) == 0
    assert "is there, nothing to do" in capfd.readouterr().err and contents(ONE) == card
    assert main(["extract", "run=tiny", "export.calibration_images=128", "force=true"]) == 0
    assert same(weights_of(ONE), raw) and card_of(ONE).raw is None
    assert main(FINETUNE) == 0
    assert same(weights_of(ONE), tuned) and card_of(ONE).raw is not None
    assert main([*FINETUNE, "finetune.epochs=3"]) == 2
    said = capfd.readouterr().err
    assert "finetune.epochs=2 there, 3 now" in said and "force=true" in said


def test_an_interrupted_fine_tuning_ends_with_the_same_bits(tiny_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    way = [*FINETUNE, "finetune.ema=0.9", "finetune.checkpoint_seconds=0"]
    assert main(way) == 0
    whole = weights_of(ONE)
    original = training.train_network

    def killed(*arguments: Any, callbacks: Any = (), **options: Any) -> Any:
        def stop(event: Event, state: Any) -> None:
            if event is Event.STEP and state.step == 7:
                raise KeyboardInterrupt

        return original(*arguments, callbacks=[*callbacks, stop], **options)

    monkeypatch.setattr(training, "train_network", killed)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        raise SystemExit(main([*way, "force=true"]))
    begun = RUN.finetuned / f"{ONE.name}.new"
    assert (begun / "checkpoint.safetensors").is_file() and same(weights_of(ONE), whole)
    monkeypatch.setattr(training, "train_network", original)
    assert main([*way, "force=true"]) == 0
    assert same(weights_of(ONE), whole) and not begun.exists()


def test_pruned_too_it_has_masks_that_hold(tiny_copy: Path) -> None:
    prune = ["prune=cubic", "prune.sparsity=0.5", "finetune.ema=0.5"]
    assert main([*FINETUNE, *prune]) == 0
    masks = load_checkpoint(SubnetFolder(ONE).masks)[0]
    weights = weights_of(ONE)
    kept, count = (sum(int(number) for number in numbers) for numbers in zip(*map(_kept, masks.values()), strict=True))
    assert kept / count == pytest.approx(0.5, abs=0.01)
    assert all(not weights[name][~mask].any() for name, mask in masks.items())
    assert card_of(ONE).density == pytest.approx(0.5, abs=0.01)


def _kept(mask: torch.Tensor) -> tuple[int, int]:
    return int(mask.sum()), mask.numel()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["limit=7"], "limit=7: the search onnxruntime chose no subnet for 7 ms; its limits are 1000, 2000 ms"),
        (["prune=cubic", "finetune.patience=2"], "finetune.patience=2: the best weights of a network that is being"),
        (["finetune.patience=2", "finetune.validate_every=0"], "finetune.patience=2 counts validations"),
        (["prune=lottery"], "ofa finetune prunes by prune/method=retrain"),
        (["finetune.distill=1.5"], "finetune.distill=1.5"),
        (["finetune.epoch=3"], "epoch"),
        (["study=other"], "other"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(
    tiny_copy: Path, capfd: pytest.CaptureFixture[str], overrides: list[str], words: str
) -> None:
    before = contents(RUN.root)
    assert main([*FINETUNE, *overrides]) != 0
    assert words in capfd.readouterr().err
    assert contents(RUN.root) == before


def test_a_limit_chooses_the_searches_that_have_it(tiny_copy: Path) -> None:
    shutil.copytree(RUN.search("onnxruntime"), RUN.search("earlier"))
    file = SearchFolder(RUN.search("earlier")).finalists
    finalists = read_record(file, Finalists)
    first, *others = finalists.finalists
    write_record(file, replace(finalists, finalists=[replace(first, target={"latency_ms": 500.0}), *others]))
    both = ["earlier", "onnxruntime"]
    for limit, searches in ((1000.0, ["onnxruntime"]), (500.0, ["earlier"]), (2000.0, both), (7.0, both), (None, both)):
        assert searches_for(both, RUN, limit) == searches


def test_another_teacher_makes_other_weights_and_the_same_one_the_same(tiny_copy: Path) -> None:
    def taught_by(*arguments: str) -> dict[str, torch.Tensor]:
        assert main([*FINETUNE, "force=true", *arguments]) == 0
        return weights_of(ONE)

    by_largest = taught_by()
    supernet = RUN.supernet / "model.safetensors"
    shape = ["model@teacher.model=resnet20", "teacher.model.depth=8", "teacher.model.widths=[16,16,32]"]
    network = ["teacher=network", *shape, f"teacher.weights={supernet}"]
    by_file = taught_by(*network)
    assert not same(by_file, by_largest)
    assert same(taught_by(*network), by_file)
    assert not same(taught_by("teacher=start"), by_file)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["teacher=average"], "teacher=average is of the training of a supernet: give teacher=largest"),
        (["teacher=start", "finetune.distill=0"], "teaches nothing with finetune.distill=0"),
        (["teacher=network", "teacher.weights=no/such/file"], "no/such/file does not exist"),
    ],
)
def test_a_teacher_that_cannot_teach_is_refused(
    tiny_copy: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    before = contents(ONE)
    assert main([*FINETUNE, *arguments]) == 2
    assert message in capfd.readouterr().err
    assert contents(ONE) == before
