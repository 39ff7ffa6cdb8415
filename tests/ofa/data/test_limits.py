"""Bombs and odd paths: refused in one line, before anything large is allocated."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofa.data import hub
from ofa.errors import InvalidInput

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("PIL.Image")
pytest.importorskip("datasets")

from tests.ofa.data.pictures import black_png, decoded, encoded, noise, write_classes  # noqa: E402


def refused(path: Path, **options: Any) -> str:
    cuts = {"validation": None, "test": None, "validation_fraction": 0.3, "test_fraction": 0.3}
    with pytest.raises(InvalidInput) as error:
        hub(path=str(path), cache_dir=str(path.parent / "cache"), **(cuts | options))
    assert "\n" not in str(error.value)
    return str(error.value)


def table(path: Path, odd: dict[str, Any]) -> Path:
    """Writes 24 images, the last one `odd`."""
    rows = [{"bytes": encoded(image), "path": None} for image in noise(23)] + [odd]
    pq.write_table(pa.table({"image": rows, "label": [0, 1] * 12}), path)
    return path


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (13_000, 13_000), (9_000, 8_000), (2**31 - 1, 9)])
@pytest.mark.parametrize("size", [None, 8])
def test_images_with_too_many_pixels_are_refused_by_their_header(
    tmp_path: Path, width: int, height: int, size: int | None
) -> None:
    write_classes(tmp_path / "data", {"a": noise(12), "b": noise(12, seed=1)})
    (tmp_path / "data" / "b" / "0020.png").write_bytes(black_png(width, height))
    (tmp_path / "data" / "a" / "0000.png").write_bytes(black_png(width, height))
    tracemalloc.start()
    try:
        said = refused(tmp_path / "data", image_size=size)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()
    assert "max_megapixels=64" in said


def test_the_limit_can_be_set_and_has_one_of_its_own(tmp_path: Path) -> None:
    write_classes(tmp_path / "data", {"a": noise(12, shape=(40, 40)), "b": noise(12, shape=(40, 40), seed=1)})
    assert "40x40 pixels are over max_megapixels=0.001" in refused(tmp_path / "data", max_megapixels=0.001)
    assert "max_megapixels=400: must be above 0 and at most 178" in refused(tmp_path / "data", max_megapixels=400)


def test_files_larger_than_any_image_are_not_read(tmp_path: Path) -> None:
    write_classes(tmp_path / "data", {"a": noise(12), "b": noise(12, seed=1)})
    with open(tmp_path / "data" / "a" / "0099.png", "wb") as file:
        file.truncate(2**40)  # takes no room on the disk
    assert "0099.png has 1,048,576 MiB" in refused(tmp_path / "data")


def test_rows_of_a_table_open_no_files_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(encoded(noise(1, seed=5)[0]))
    (tmp_path / "data").mkdir()
    os.mkfifo(tmp_path / "data" / "fifo.png")
    (tmp_path / "data" / "link.png").symlink_to(tmp_path / "secret.png")
    for path, message in [
        (str(tmp_path / "secret.png"), "leads out of the data's folder"),
        ("../secret.png", "leads out of the data's folder"),
        ("link.png", "leads out of the data's folder"),
        ("/etc/passwd", "leads out of the data's folder"),
        ("fifo.png", "is a FIFO, not a file"),
        ("missing.png", "cannot be read (No such file or directory)"),
        ("", "is not an image"),
    ]:
        said = refused(table(tmp_path / "data" / "train.parquet", {"bytes": None, "path": path}))
        assert (message in said and "row 23" in said) or "FIFO" in said


def test_rows_may_name_files_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    picture = noise(1, seed=5)[0]
    (tmp_path / "data" / "mine.png").write_bytes(encoded(picture))
    path = table(tmp_path / "data" / "train.parquet", {"bytes": None, "path": "mine.png"})
    cuts = {"validation": None, "test": None, "validation_fraction": 0.3, "test_fraction": 0.3}
    data = hub(path=str(path), cache_dir=str(tmp_path / "cache"), **cuts)
    splits = (data.train, data.validation, data.test)
    assert sum(int((split.pixels == picture).all((1, 2, 3)).sum()) for split in splits) == 1  # type: ignore[union-attr]


def test_postscript_is_no_image(tmp_path: Path) -> None:
    said = refused(table(tmp_path / "train.parquet", {"bytes": b"%!PS-Adobe-3.0 EPSF-3.0\n" + bytes(99), "path": None}))
    assert "not a readable image" in said


def test_damaged_images_end_in_one_line(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    good = {kind: encoded(noise(1, shape=(20, 20))[0], kind) for kind in ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP")}
    for content in good.values():
        for _ in range(60):
            bad = bytearray(content)
            for position in rng.integers(0, len(bad), rng.integers(1, 5)):
                bad[position] = rng.integers(0, 256)
            if rng.random() < 0.3:
                del bad[int(rng.integers(1, len(bad))) :]
            try:
                decoded(bytes(bad))
            except InvalidInput as error:
                assert "\n" not in str(error)
