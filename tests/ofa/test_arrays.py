"""Arrays of npz files: as NumPy wrote them, or refused before anything large is allocated."""

from __future__ import annotations

import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ofa.arrays import read_arrays
from ofa.errors import InvalidInput


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_read_as_they_were_written(tmp_path: Path, save: object) -> None:
    written = {
        "input": np.random.default_rng(0).random((2, 3, 4, 4)).astype(np.float32),
        "by_columns": np.asfortranarray(np.arange(12).reshape(3, 4)),
        "one": np.array(5.0),
        "none": np.zeros((0, 3)),
    }
    save(tmp_path / "arrays.npz", **written)  # type: ignore[operator]
    read = read_arrays(tmp_path / "arrays.npz", list(written))
    for name, array in written.items():
        assert np.array_equal(read[name], array) and read[name].dtype == array.dtype
    read["input"][0] = 0  # it can be written to


@pytest.mark.parametrize("place", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_not_waited_for_and_not_read(tmp_path: Path, place: Callable[[Path], object]) -> None:
    place(tmp_path / "arrays.npz")
    assert "it is not a file" in refused(tmp_path / "arrays.npz")


def test_arrays_of_another_byte_order_are_read_as_numbers_of_this_machine(tmp_path: Path) -> None:
    other = np.arange(6, dtype=np.dtype(np.float32).newbyteorder()).reshape(2, 3)
    np.savez(tmp_path / "arrays.npz", input=other)
    read = read_arrays(tmp_path / "arrays.npz", ["input"])["input"]
    assert read.dtype.isnative and np.array_equal(read, other)


def refused(path: Path, largest: int = 2**28) -> str:
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput) as error:
            read_arrays(path, ["input"], largest=largest)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


def test_two_hundred_million_numbers_are_refused_before_they_are_there(tmp_path: Path) -> None:
    path = tmp_path / "verify.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("input.npy", "w", force_zip64=True) as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (20_000_000,)}
            np.lib.format.write_array_header_1_0(file, header)
            for _ in range(80):
                file.write(bytes(1_000_000))
    assert path.stat().st_size < 1_000_000
    assert "over the limit of" in refused(path, largest=2**24)


def test_a_header_that_says_more_than_there_is_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "verify.npz"
    for shape in ((200_000_000,), (3,), (2**62, 8), (-4,)):
        with zipfile.ZipFile(path, "w") as archive, archive.open("input.npy", "w") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
            file.write(bytes(16))
        refused(path)


def test_objects_text_and_damage_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "verify.npz"
    np.savez(path, input=np.array([{}, 1], dtype=object))
    assert "not numbers" in refused(path)
    np.savez(path, input=np.array(["text"]))
    assert "not numbers" in refused(path)
    np.savez(path, other=np.zeros(3))
    assert "damaged" in refused(path)
    path.write_bytes(b"PK not a zip")
    assert "damaged" in refused(path)
    path.unlink()
    assert "does not exist" in refused(path)
