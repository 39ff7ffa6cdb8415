"""Every recipe of `ofa compress` on a network of another program: a small file, decoded and judged, and loaded back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import search
from ofa.compress import load
from ofa.identity import digest_of_tensors
from ofa.models import LeNet5
from ofa.randomize import randomize_
from ofa.records import read_record
from search.app.main import main
from search.report.compress_section import gather_compressed
from search.run.compressed_cards import CompressedCard, CompressedFolder
from search.run.paths import RunFolder
from tests.composed import options

OWN = ["model=lenet5", "model.channels=[8,12]", "model.hidden=[20,12]", "data=synthetic", "data.dataset.image_size=8"]
OWN += ["data.dataset.samples=160", "start=checkpoint", "start.path=own.pt", "dense.batch_size=48"]
STAGES = {
    "code_only": ["reorder"],
    "deep_compression": ["prune", "finetune", "share", "finetune", "reorder"],
    "integers": ["finetune", "share", "finetune", "reorder"],
    "low_rank": ["low_rank", "finetune", "share", "finetune", "reorder"],
}
QUICK = {name: ["compress.epochs=1", "compress.codebook_epochs=1"] for name in STAGES if name != "code_only"}
FILES = {"model.ofaz", "card.json", "log.txt", "data.safetensors", "stage.json"}
RUN = RunFolder(Path("outputs/main"))


def stage(text: str) -> str:
    """Returns the override that makes one stage the recipe."""
    return f"compress.stages=[{{_partial_:true,_target_:{text}}}]"


@pytest.fixture(autouse=True)
def _own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    net = randomize_(LeNet5((1, 8, 8), 4, channels=(8, 12), hidden=(20, 12), batch_norm=True))
    torch.save(net.state_dict(), "own.pt")


RECIPES = [
    pytest.param(recipe, marks=() if recipe == "deep_compression" else pytest.mark.slow)
    for recipe in options("compress")
]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_makes_a_file_that_is_judged_as_decoded(recipe: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["compress", *OWN, f"compress={recipe}", *QUICK.get(recipe, []), "name=small"]) == 0
    files = CompressedFolder(RUN.compressed / "small")
    card = read_record(files.card, CompressedCard)
    assert [row.stage for row in card.stages] == ["start", *STAGES[recipe], "code"]
    assert card.bytes == files.network.stat().st_size == card.stages[-1].bytes < card.dense_bytes
    for row in card.stages:
        assert row.head + sum(tensor.bytes for tensor in row.tensors) == row.bytes
    assert digest_of_tensors(load(files.network)[0]) == digest_of_tensors(search.load(files.root).state_dict())
    assert card.stages[-1].scores == card.stages[-2].scores
    assert {path.name for path in files.root.iterdir()} == FILES
    said = capfd.readouterr().out
    assert f"{card.bytes:,} bytes" in said and "model.ofaz" in said and files.log.read_text().count("\n") > 15
    assert gather_compressed(RUN) == (card,)
    if recipe == "code_only":
        own = torch.load("own.pt", weights_only=True)
        read = search.load(files.root).state_dict()
        for name, tensor in read.items():  # units may be in another order
            assert torch.equal(tensor.reshape(-1).sort().values, own[name].reshape(-1).sort().values)
        assert card.stages[-1].scores == card.stages[0].scores
    if recipe == "integers":
        for row, tensor in load(files.network)[0].items():
            if tensor.dim() >= 2:
                whole = tensor.double() / float(tensor[tensor != 0].abs().min())
                assert float((whole - whole.round()).abs().max()) < 1e-3 * float(whole.abs().max()), row


@pytest.mark.slow
def test_it_is_done_once_and_another_recipe_needs_another_name(capfd: pytest.CaptureFixture[str]) -> None:
    named = 'name="<b>small"'
    way, file = ["compress", *OWN, "compress=code_only", named], RUN.compressed / "<b>small/model.ofaz"
    assert main(way) == 0
    before = file.read_bytes()
    assert main(way) == 0
    assert "is there, nothing to do" in capfd.readouterr().err
    assert main(["compress", *OWN, "compress=integers", "compress.epochs=0", "compress.codebook_epochs=0", named]) == 2
    said = capfd.readouterr().err
    assert "name=NAME for another folder" in said and "force=true" in said and file.read_bytes() == before
    assert main([*way, "force=true"]) == 0
    assert file.read_bytes() == before  # the same bytes from the same network
    assert main(["report"]) == 0
    page = RUN.report.read_text()
    assert "Compressed networks" in page and "model.ofaz" in page and "<b>small" not in page


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([], "holds no search to use: run ofa search run=main first"),
        (["pruned=other"], "has no finished network of that name; run ofa prune run=main first"),
        (["pruned=../x"], "must be a plain name"),
        (["model=lenet5"], "named by model=, data= and start=, and data= is missing"),
        (["model=lenet5", "data=synthetic"], "and start= is missing"),
        ([*OWN, "limit=3"], "limit names a subnet of a search, and model another network"),
        ([*OWN, "compress.bits=0"], "compress.bits=0 must be a whole number from 1 to 16"),
        ([*OWN, "compress.bits=17"], "compress.bits=17 must be a whole number from 1 to 16"),
        ([*OWN, "compress.sparsity=1"], "compress.sparsity=1 must be a number"),
        ([*OWN, "compress=deep"], "compress=deep is not known; choices: code_only, deep_compression"),
        ([*OWN, stage("search.compression.quantize")], "quantize"),
        (
            [*OWN, stage("ofa.compress.share,bits:3")],
            "0 (ofa.compress.share) is no stage",
        ),
        ([*OWN, stage("search.compression.share,levels:100000")], "levels=100000"),
        ([*OWN, stage("search.compression.share,bit:3")], "compress.stages.0"),
        ([*OWN, "compress.stages=[share]"], "compress.stages"),
        ([*OWN, "compress.epoch=3"], "compress.epoch"),
        ([*OWN, "name=a/b"], "must be a plain name"),
        ([*OWN, "start.path=gone.pt"], "gone.pt"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    overrides: list[str], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["compress", *overrides]) == 2
    said = capfd.readouterr().err
    assert words in said and "Traceback" not in said
    assert not Path("outputs").exists()
