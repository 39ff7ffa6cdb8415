"""The data is part of what a stage came from: later verbs refuse other data, and say what is different."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from ofa.checkpoint import load_checkpoint
from ofa.data import Dataset
from search.app.main import main

pytest.importorskip("PIL.Image")
pytest.importorskip("datasets")

from tests.ofa.data.pictures import noise, write_classes

OWN = (
    "data=imagefolder data.dataset.path=my_images data.dataset.image_size=8 data.dataset.channels=1 data.augment=null"
    " data.dataset.validation_fraction=0.2 data.dataset.test_fraction=0.2"
)
TRAIN = f"train run=mine experiment=tiny {OWN} ~data.dataset.samples train.epochs=1"
SEARCH = "search run=mine search.evaluations=4 search.limits.params=1e9 search.latency_fractions=null"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the current folder, in it a folder of 160 images whose labels are noise, without splits."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_classes(tmp_path / "my_images", {"heads": noise(80, seed=1), "tails": noise(80, seed=2)})
    return tmp_path


def refused(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(command.split()) == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_images_added_after_training_are_refused_by_later_verbs(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(TRAIN.split()) == 0
    shown = capsys.readouterr()
    (line,) = [line for line in (shown.out + shown.err).splitlines() if line.startswith("data: ")]
    assert "2 classes (heads, tails): train " in line and "(20 % of my_images/)" in line
    before, _ = load_checkpoint(home / "outputs/mine/supernet/data.safetensors")
    sizes = [len(before[f"{part}.targets"]) for part in ("train", "validation", "test")]
    assert sum(sizes) == 160 and f"train {sizes[0]} (my_images/)" in line

    write_classes(home / "my_images", {"heads": noise(40, seed=3), "tails": noise(40, seed=4)}, start=500)
    for verb in (SEARCH, "profile run=mine"):
        capsys.readouterr()
        assert main(verb.split()) == 2
        shown = capsys.readouterr()
        assert "data: my_images, 2 classes (heads, tails): train " in shown.out + shown.err
        said = shown.err.splitlines()[-1]
        assert "is not the data that outputs/mine/supernet was made with: train " in said
        counts = re.findall(r"(\d+) added", said)
        assert len(counts) == 3 and sum(map(int, counts)) == 80 and "gone" not in said and "changed" not in said
        assert "use run=NAME for another run with it, or ofa train run=mine force=true" in said

    assert main(f"{TRAIN} force=true".split()) == 0
    after, _ = load_checkpoint(home / "outputs/mine/supernet/data.safetensors")
    for part in ("train", "validation", "test"):  # nothing moved
        assert torch.isin(before[f"{part}.identities"], after[f"{part}.identities"]).all()


def test_images_gone_and_labels_changed_are_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(TRAIN.split()) == 0
    images = sorted((home / "my_images" / "heads").iterdir())
    for image in images[:3]:
        image.rename(home / "my_images" / "tails" / f"from_{image.name}")
    images[10].unlink()
    said = refused(SEARCH, capsys)
    assert sum(map(int, re.findall(r"(\d+) (?:labels? changed|gone)", said))) == 4
    assert " changed" in said and " 1 gone" in said and "added" not in said
    images[10].write_bytes(b"")
    assert "not a readable image" in refused(SEARCH, capsys)


def test_a_pruned_network_is_not_made_of_other_data(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prune = f"prune run=mine {OWN} model=lenet300 dense.epochs=1 prune.retraining.epochs=1"
    assert main([*prune.split(), "prune.sparsity=0.5"]) == 0
    write_classes(home / "my_images", {"heads": noise(10, seed=3)}, start=500)
    said = refused(f"{prune} prune.sparsity=0.6", capsys)
    assert "is not the data that outputs/mine/dense/" in said and " added" in said
    assert main([*prune.split(), "prune.sparsity=0.5"]) == 0  # it is there: nothing is made


def test_a_record_that_is_missing_or_damaged_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(TRAIN.split()) == 0
    record = home / "outputs/mine/supernet/data.safetensors"
    content = record.read_bytes()
    record.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "data.safetensors is damaged" in refused(SEARCH, capsys)
    record.unlink()
    assert "does not say which data it was made with" in refused(SEARCH, capsys)
    assert not (home / "outputs/mine/search").exists()


@pytest.mark.slow
def test_a_training_that_was_cut_off_goes_on_with_the_same_data_alone(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("search.app.training._save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main(TRAIN.split()) == 130
    write_classes(home / "my_images", {"heads": noise(5, seed=3)}, start=500)
    assert "was made with" in refused(TRAIN, capsys) and "force=true to start again" in refused(TRAIN, capsys)
    assert main(f"{TRAIN} force=true".split()) == 0


MY_DATA = """
import torch
from ofa.data import Dataset, Preprocessing, Split

def mine(name, count):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 1, 8, 8), generator=generator, dtype=torch.uint8)
    how = Preprocessing(255, (0.5,), (0.25,))
    def split(rows):
        return Split(pixels[rows], torch.arange(count)[rows] % 2, how)
    return Dataset(name, split(slice(80)), split(slice(80, 120)), split(slice(120, count)), 2)
"""


def test_tensors_of_a_users_own_function_are_held_against_the_record_too(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(home)
    (home / "tensors_of_mine.py").write_text(MY_DATA)
    own = "data.dataset={_target_:tensors_of_mine.mine,name:mine,count:160}"
    train = ["train", "run=mine", "experiment=tiny", "train.epochs=1", "~data.dataset", f"+{own}"]
    assert main(train) == 0
    shown = capsys.readouterr()
    assert "train 80 (from tensors_of_mine.mine)" in shown.out + shown.err
    import tensors_of_mine

    real = tensors_of_mine.mine

    def more(name: str, count: int) -> Dataset:
        return real(name, count + 7)

    more.__module__ = more.__qualname__ = "tensors_of_mine"
    monkeypatch.setattr(tensors_of_mine, "mine", more)
    assert "was made with: test 7 added; restore it" in refused(f"{SEARCH} trust=[tensors_of_mine]", capsys)


def test_images_that_are_all_black_do_not_train(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for image in (home / "my_images").rglob("*.png"):
        image.unlink()
    for split in ("train", "val", "test"):
        write_classes(home / "my_images" / split, {name: [noise(1)[0] * 0] * 9 for name in ("heads", "tails")})
    (home / "my_images" / "heads").rmdir()
    said = refused(TRAIN, capsys)
    assert "training images do not vary, every pixel is 0 (8 bits, 0 to 255)" in said
    assert not list((home / "outputs").rglob("*.*")), list((home / "outputs").rglob("*"))
