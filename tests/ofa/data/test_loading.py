"""Data sets from files made here: read back pixel by pixel; every way to be wrong is one line."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ofa.data import Dataset, batches, hub
from ofa.errors import InvalidInput
from tests.ofa.data.pictures import decoded

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
Image = pytest.importorskip("PIL.Image")
pytest.importorskip("datasets")

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def encode(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def random_images(count: int, *, shape: tuple[int, ...] = (6, 5), seed: int = 0) -> list[Pixels]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(count)]


def write(path: Path, images: list[Pixels], labels: list[Any], *, column: str = "image", label: str = "label") -> None:
    rows = [{"bytes": encode(image), "path": None} for image in images]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({column: rows, label: labels}), path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns a folder with 40 training and 10 test images of two classes."""
    write(tmp_path / "files/train-00000-of-00001.parquet", random_images(40), [0, 1] * 20)
    write(tmp_path / "files/test-00000-of-00001.parquet", random_images(10, seed=1), [0, 1] * 5)
    return tmp_path / "files"


def load(path: Path | str, cache: Path, **options: Any) -> Dataset:
    return hub(path=str(path), cache_dir=str(cache), **options)


def test_parquet_files_are_read_pixel_by_pixel(folder: Path, tmp_path: Path) -> None:
    data = load(folder, tmp_path / "cache")
    assert [len(data.train), len(data.validation), len(data.test)] == [38, 2, 10]
    assert data.input_shape == (1, 6, 5) and data.num_classes == 2
    assert isinstance(data.test.pixels, Tensor) and data.test.pixels.dtype == torch.uint8
    expected = torch.from_numpy(np.stack(random_images(10, seed=1)))[:, None]
    assert torch.equal(data.test.pixels, expected)
    assert data.test.labels.tolist() == [0, 1] * 5
    torch.testing.assert_close(data.train.images.mean(), torch.tensor(0.0), atol=1e-4, rtol=0)


def test_validation_is_cut_by_the_seed(folder: Path, tmp_path: Path) -> None:
    def validation(seed: int) -> Tensor:
        return load(folder, tmp_path / "cache", validation_fraction=0.3, seed=seed).validation.images

    assert torch.equal(validation(0), validation(0))
    assert validation(0).shape[0] in range(6, 19)
    assert not torch.allclose(validation(0), validation(1))


def test_a_single_file_is_cut_in_three(folder: Path, tmp_path: Path) -> None:
    file = folder / "train-00000-of-00001.parquet"
    data = load(file, tmp_path / "cache", test=None, test_fraction=0.2, validation_fraction=0.2)
    assert min(len(data.train), len(data.validation), len(data.test)) > 2
    together = torch.cat([s.pixels for s in (data.train, data.validation, data.test) if isinstance(s.pixels, Tensor)])
    assert len({tuple(image.flatten().tolist()) for image in together}) == 40


def test_streamed_images_are_the_decoded_ones(folder: Path, tmp_path: Path) -> None:
    whole = load(folder, tmp_path / "cache")
    streamed = load(folder, tmp_path / "cache", memory_limit_mib=0)
    assert whole.train.in_memory and not streamed.train.in_memory
    assert whole.preprocessing == streamed.preprocessing
    for (images, labels), (same, numbers) in zip(
        batches(whole.train, 8, seed=1, epoch=0), batches(streamed.train, 8, seed=1, epoch=0), strict=True
    ):
        assert torch.equal(images, same) and torch.equal(labels, numbers)
    assert torch.equal(whole.calibration(7), streamed.calibration(7))
    with pytest.raises(InvalidInput, match="over the limit"):
        _ = streamed.validation.images


def test_color_images_in_threads_and_resized(tmp_path: Path) -> None:
    images = random_images(12, shape=(70, 90, 3))
    write(tmp_path / "train.parquet", images, list("ab" * 6), column="photo", label="kind")
    options = {
        "image_column": "photo",
        "label_column": "kind",
        "test": None,
        "test_fraction": 0.2,
        "threads": 3,
    }
    options["validation_fraction"] = 0.2
    data = load(tmp_path / "train.parquet", tmp_path / "cache", **options)
    assert data.input_shape == (3, 70, 90) and data.class_names == ("a", "b")
    stored = [torch.from_numpy(image).permute(2, 0, 1) for image in images]
    assert isinstance(data.train.pixels, Tensor)
    for pixels, label in zip(data.train.pixels, data.train.labels, strict=True):
        (row,) = [row for row, image in enumerate(stored) if torch.equal(image, pixels)]
        assert label == row % 2
    small = load(tmp_path / "train.parquet", tmp_path / "cache", image_size=(8, 16), channels=1, **options)
    assert small.input_shape == (1, 8, 16)
    assert "cropped" in small.preprocessing["resize"]


def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(tmp_path: Path) -> None:
    waves = np.sin(np.linspace(0, 9, 640))[:, None, None] * np.cos(np.linspace(0, 7, 480))[None, :, None]
    photo = Image.fromarray((127 + 90 * waves * np.array([1, -1, 0.5])).astype(np.uint8))
    photo.save(tmp_path / "large.jpg", quality=95)
    turned = photo.getexif()
    turned[0x0112] = 3  # upside down
    photo.save(tmp_path / "turned.jpg", quality=95, exif=turned)
    photo.save(tmp_path / "large.png")
    files = [tmp_path / name for name in ("large.jpg", "turned.jpg", "large.png")]
    fast, upside_down, exact = (decoded(file.read_bytes(), size=32, channels=3).float() for file in files)
    assert (fast - exact).abs().max() < 6 and (upside_down - exact.flip(1, 2)).abs().max() < 6


def test_a_folder_of_images_has_a_class_a_folder(tmp_path: Path) -> None:
    for split, count in (("train", 12), ("test", 3)):
        for number, kind in enumerate(("cat", "dog")):
            folder = tmp_path / "pictures" / split / kind
            folder.mkdir(parents=True)
            for image in range(count):
                Image.fromarray(np.full((5, 5), 100 * number + image, np.uint8)).save(folder / f"{image}.png")
    data = load(tmp_path / "pictures", tmp_path / "cache", validation_fraction=0.25)
    assert data.class_names == ("cat", "dog")
    assert [len(data.train), len(data.validation), len(data.test)] == [21, 3, 6]
    for split in (data.train, data.validation, data.test):
        assert isinstance(split.pixels, Tensor)
        assert torch.equal((split.pixels[:, 0, 0, 0] >= 100).long(), split.labels)


def test_limits_and_given_statistics(folder: Path, tmp_path: Path) -> None:
    options = {"limit_train": 9, "limit_validation": 1, "limit_test": 4, "mean": [0.5], "std": [0.25]}
    data = load(folder, tmp_path / "cache", **options)
    assert [len(data.train), len(data.validation), len(data.test)] == [9, 1, 4]
    assert data.preprocessing["mean"] == [0.5] and data.preprocessing["std"] == [0.25]


REFUSED = [
    ({"image_column": "img"}, "image_column='img': no such column; the columns are image, label"),
    ({"image_column": "label"}, "columns with images: image"),
    ({"label_column": "labels"}, "label_column='labels': no such column; the columns are image, label"),
    ({"label_column": "image"}, "labels are whole numbers or text"),
    ({"train": "trian"}, "train='trian': no such split; did you mean train?"),
    ({"validation": "val"}, "validation=null cuts it out of the training images"),
    ({"validation_fraction": 1.5}, "validation_fraction=1.5"),
    ({"limit_train": 0}, "limit_train=0"),
    ({"channels": 2}, "channels=2: must be 1 (gray) or 3 (RGB)"),
    ({"image_size": 0}, "image_size=0"),
    ({"image_size": [4, 4, 4]}, "height and width"),
    ({"mean": [0.5]}, "mean and std together"),
    ({"mean": [0.5, 0.5], "std": [1, 1]}, "give 1 numbers in each"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_wrong_options_are_refused_in_one_line(
    folder: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput) as error:
        load(folder, tmp_path / "cache", **options)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_wrong_paths_are_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and then nothing of use")
    for path, message in [
        (tmp_path / "fils", "did you mean files?"),
        ("./nowhere.parquet", "does not exist"),
        (tmp_path / "no/such/files", f"does not exist: there is no {tmp_path / 'no'}; "),
        (tmp_path / "brokn.parquet/more", f"there is no {tmp_path / 'brokn.parquet'}; did you mean broken.parquet?"),
        (Path(__file__), "is not a parquet file"),
        (tmp_path / "empty", "it has no folders with images"),
        (tmp_path / "broken.parquet", "cannot read"),
    ]:
        with pytest.raises(InvalidInput) as error:
            load(path, tmp_path / "cache")
        assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("path", ["/qqzzqq", "/qqzzqq/images/train"])
def test_what_lies_beside_a_missing_folder_of_the_system_is_not_listed(path: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as error:
        load(Path(path), tmp_path / "cache")
    first = "" if path == "/qqzzqq" else ": there is no /qqzzqq"
    assert str(error.value) == f"{path} does not exist{first}"


def test_wrong_rows_are_refused_and_named(tmp_path: Path) -> None:
    images = random_images(8)
    options = {"test": None, "validation_fraction": 0.2, "test_fraction": 0.2}

    def refused(name: str, rows: list[bytes], labels: list[Any]) -> str:
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({"image": rows, "label": labels}), path)
        with pytest.raises(InvalidInput) as error:
            load(path, tmp_path / "cache", **options)
        return str(error.value)

    good = [encode(image) for image in images]
    assert "row 5: not a readable image" in refused("text", [*good[:5], b"no image", *good[6:]], [0] * 8)
    assert "row 5: not a readable image" in refused("cut", [*good[:5], good[5][:60], *good[6:]], [0] * 8)
    other = encode(random_images(1, shape=(9, 9))[0])
    assert "row 5: 9x9 pixels where the first image has 6x5" in refused("size", [*good[:5], other, *good[6:]], [0] * 8)
    assert "row 2 is empty" in refused("empty", good, [0, 1, None, 1, 0, 1, 0, 1])
    assert "whole numbers or text" in refused("float", good, [0.5] * 8)


def test_a_label_that_training_never_saw_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "files/train.parquet", random_images(10), ["cat", "dog"] * 5)
    write(tmp_path / "files/test.parquet", random_images(2), ["cat", "cow"])
    with pytest.raises(InvalidInput, match="row 1 has label 'cow', which no training image has"):
        load(tmp_path / "files", tmp_path / "cache")


def test_without_the_extra_it_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InvalidInput, match=r"pip install 'ofa-search\[data\]'"):
        hub(path=str(folder))
