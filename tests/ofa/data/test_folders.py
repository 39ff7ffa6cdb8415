"""Image folders as people have them: splits beside each other, links, FIFOs, and what is left out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofa.data import Dataset, hub
from ofa.data import content_digests as digests
from ofa.errors import InvalidInput

pytest.importorskip("PIL.Image")
pytest.importorskip("datasets")

from tests.ofa.data.pictures import noise, write_classes


def load(root: Path, **options: Any) -> Dataset:
    auto = {"validation": "auto", "test": "auto", "cache_dir": str(root.parent / "cache")}
    return hub(path=str(root), **(auto | options))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Returns a folder with 60 images of two classes, without splits."""
    write_classes(tmp_path / "data", {"cat": noise(30, seed=1), "dog": noise(30, seed=2)})
    return tmp_path / "data"


def refused(root: Path, **options: Any) -> str:
    with pytest.raises(InvalidInput) as error:
        load(root, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev", "Val"])
def test_folders_beside_train_are_its_splits(tmp_path: Path, name: str) -> None:
    for number, split in enumerate(("train", "test", name)):
        pictures = {kind: noise(4 + number, seed=10 * number + len(kind)) for kind in ("bee", "ants")}
        write_classes(tmp_path / "data" / split, pictures)
    data = load(tmp_path / "data")
    assert [len(data.train), len(data.validation), len(data.test)] == [8, 12, 10]
    assert [data.train.origin, data.validation.origin, data.test.origin] == ["train/", f"{name}/", "test/"]


def test_what_no_folder_has_is_cut_out_and_said(tmp_path: Path) -> None:
    write_classes(tmp_path / "data" / "train", {"a": noise(40, seed=1), "b": noise(40, seed=2)})
    write_classes(tmp_path / "data" / "test", {"a": noise(5, seed=3), "b": noise(5, seed=4)})
    write_classes(tmp_path / "data" / "rejects", {"a": noise(1)})
    data = load(tmp_path / "data")
    assert len(data.test) == 10 and len(data.train) + len(data.validation) == 80
    assert data.validation.origin == "10 % of train/ (not used: rejects)"
    assert len(load(tmp_path / "data", test=None).test) != 10


def test_two_folders_for_one_split_are_refused(tmp_path: Path) -> None:
    for split in ("train", "val", "valid"):
        write_classes(tmp_path / "data" / split, {"a": noise(2), "b": noise(2, seed=1)})
    assert "val/ and valid/, either of which could be for validation" in refused(tmp_path / "data")


def test_images_that_are_added_move_none(root: Path) -> None:
    before = load(root)
    write_classes(root, {"cat": noise(40, seed=5), "dog": noise(40, seed=6)}, start=100)
    (root / "cat" / "0003.png").rename(root / "cat" / "zebra.png")
    after = load(root)
    for part in ("train", "validation", "test"):
        old, new = (set(getattr(data, part).identities.tolist()) for data in (before, after))
        assert old < new


def test_hidden_files_and_other_files_are_left_out(root: Path) -> None:
    (root / "cat" / ".hidden.png").write_bytes(b"")
    (root / "cat" / "Thumbs.db").write_bytes(b"")
    (root / ".git").mkdir()
    (root / "notes.txt").write_text("ours")
    (root / "cat" / "more").mkdir()
    write_classes(root / "cat", {"more": noise(3, seed=9)})
    data = load(root)
    assert data.class_names == ("cat", "dog")
    assert len(data.train) + len(data.validation) + len(data.test) == 63


def test_fifos_and_devices_are_refused_and_do_not_hang(root: Path) -> None:
    os.mkfifo(root / "cat" / "waits.png")
    assert "waits.png is a FIFO, not a file; remove it" in refused(root)
    (root / "cat" / "waits.png").unlink()
    (root / "cat" / "zeros.png").symlink_to("/dev/zero")
    assert "link out of" in refused(root)
    assert "zeros.png is a device" in refused(root, outside_links=True)


def test_links_that_lead_out_need_to_be_asked_for(root: Path, tmp_path: Path) -> None:
    write_classes(tmp_path / "elsewhere", {"bird": noise(20, seed=7)})
    (root / "bird").symlink_to(tmp_path / "elsewhere" / "bird")
    assert "outside_links=true" in refused(root)
    assert load(root, outside_links=True).class_names == ("bird", "cat", "dog")
    (root / "bird").unlink()
    (root / "cat" / "again").symlink_to(root / "cat")
    assert "link to a folder that it lies in" in refused(root)


def test_a_root_that_is_itself_a_link_is_as_good(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert load(tmp_path / "link").train.identities.tolist() == load(root).train.identities.tolist()


def test_folders_that_are_no_classes_are_refused(root: Path, tmp_path: Path) -> None:
    (root / "empty").mkdir()
    assert "empty holds no images; every folder is a class" in refused(root)
    loose = tmp_path / "loose"
    write_classes(loose, {".": noise(3)})
    assert "images go in one folder per class" in refused(loose)
    write_classes(tmp_path / "data2" / "train", {"a": noise(2), "b": noise(2, seed=1)})
    write_classes(tmp_path / "data2" / "test", {"c": noise(2, seed=2)})
    assert "a class that the training images do not have (a, b)" in refused(tmp_path / "data2")


def test_names_of_any_kind_are_read(tmp_path: Path) -> None:
    root = tmp_path / "my set, (1) 'x'"
    write_classes(root, {"ä ö": noise(30, seed=1), "日本": noise(30, seed=2)})
    assert load(root).class_names == ("ä ö", "日本")


def test_forty_classes_of_three_images_are_read_or_refused_with_a_seed(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_classes(root, {f"{number:02d}": noise(3, seed=number) for number in range(40)})
    seed, seeds = 0, []
    for _ in range(4):
        try:
            data = load(root, seed=seed)
            break
        except InvalidInput as error:
            assert "(3 images) has none to train on" in str(error)
            seed = int(str(error).split("data.dataset.seed=")[1].split(" ")[0])
            seeds.append(seed)
    assert len(seeds) < 2 and len(data.train.labels.unique()) == 40


def test_contents_are_read_once_while_files_stay_as_they_are(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Path] = []
    real = digests.read_file
    monkeypatch.setattr(digests, "read_file", lambda path, *rest: reads.append(path) or real(path, *rest))
    monkeypatch.setattr(digests, "_SETTLED_NS", -(2**60))  # as if the files were old
    first = load(root)
    assert len(reads) == 60
    assert load(root).train.identities.tolist() == first.train.identities.tolist()
    assert len(reads) == 60
    place = root / "cat" / "0005.png"
    times = os.stat(place)
    changed = bytearray(place.read_bytes())
    changed[-20] ^= 1
    place.write_bytes(changed)
    os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))  # a change that hides itself
    try:
        load(root)
    except InvalidInput:  # it may be no image now
        pass
    assert reads[60:] == [place]


def test_a_damaged_cache_only_costs_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_SETTLED_NS", -(2**60))
    first = load(root).train.identities.tolist()
    (cache,) = (root.parent / "cache" / "images").iterdir()
    whole = cache.read_bytes()
    digit = whole.rindex(str(abs(first[0])).encode())  # an identity that is another one would move an image
    other = bytes([ord("1") if whole[digit : digit + 1] != b"1" else ord("2")])
    edited = whole[:digit] + other + whole[digit + 1 :]
    for damage in (b"", b"[" * 100_000, b'{"cat/0001.png": [1, 2]}', np.random.default_rng(0).bytes(200), edited):
        cache.write_bytes(damage)
        assert load(root).train.identities.tolist() == first
