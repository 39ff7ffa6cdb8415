"""Data sets of arrays in files that NumPy wrote: .npz, which are read, and .npy, whose rows are read when needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ofa.data.array_sets import from_arrays
from ofa.data.dataset import PARTS, Dataset
from ofa.errors import InvalidInput, nearest

_TARGET_NAMES = ("targets", "labels", "y")


def from_npz(
    path: str,
    *,
    inputs: str = "inputs",
    targets: str | None = None,
    groups: str | None = None,
    validation: float = 0.2,
    test: float = 0.2,
    standardize: bool = False,
    seed: int = 0,
    name: str | None = None,
    num_classes: int | None = None,
    class_names: Sequence[str] = (),
    target_names: Sequence[str] = (),
    outputs: int | None = None,
) -> Dataset:
    """Returns the Dataset of arrays in files: an .npz file, or a folder with one for each split.

    A folder holds train.npz, validation.npz and test.npz, or folders train, validation and test of .npy files, an array
    each: train/inputs.npy, train/targets.npy. Of validation and test either may be missing: it is cut out of the
    training examples. What is in .npz files is held in memory; inputs in .npy files are read when they are needed.

    Args:
        path: of the file or the folder. Arrays of Python objects are refused.
        inputs, targets, groups: names of arrays in it, see `from_arrays`; targets are "targets", "labels" or "y" where
            no name is given, if there is one of these.
        validation, test: what is cut out of the training examples where there is no file of its own.
        standardize: and all others: see `from_arrays`.
        seed: of the cut.
        name: of the data set; the file's where None.
        num_classes: see `Dataset`.
        class_names: see `Dataset`.
        target_names: see `Dataset`.
        outputs: see `Dataset`.

    Raises:
        InvalidInput: no such file, a file that is damaged, an array that is not in it, or what `from_arrays` refuses.
    """
    location = Path(path).expanduser()
    files = _files(location)
    read = {part: _read(file) for part, file in files.items()}
    wanted = targets or next((known for known in _TARGET_NAMES if known in read["train"]), None)
    pairs = {
        part: (_array(arrays, inputs, files[part]), _array(arrays, wanted, files[part]))
        for part, arrays in read.items()
    }
    held: dict[str, Any] = {"validation": float(validation), "test": float(test)}
    held |= {part: pair for part, pair in pairs.items() if part != "train"}
    return from_arrays(
        *pairs["train"],
        **held,
        standardize=standardize,
        groups=_array(read["train"], groups, files["train"]),
        seed=seed,
        name=name or location.stem,
        num_classes=num_classes,
        class_names=class_names,
        target_names=target_names,
        outputs=outputs,
    )


def _files(location: Path) -> dict[str, Path]:
    """The file or the folder of each split that is there; of the training split anyway."""
    if not location.is_dir():
        return {"train": location}
    if any(location.glob("*.npy")):
        return {"train": location}
    files = {}
    for part in PARTS:
        there = [path for path in (location / f"{part}.npz", location / part) if path.exists()]
        if there or part == "train":
            files[part] = there[0] if there else location / f"{part}.npz"
    return files


def _read(file: Path) -> dict[str, np.ndarray[Any, Any]]:
    if not file.exists():
        raise InvalidInput(f"{file} is no file; give an .npz file, or a folder with train.npz or train/inputs.npy")
    member = file
    try:
        if file.is_dir():
            arrays = {}
            for member in sorted(file.glob("*.npy")):
                arrays[member.stem] = np.load(member, mmap_mode="r", allow_pickle=False)
            return arrays
        with np.load(file, allow_pickle=False) as held:
            return {name: held[name] for name in held.files}
    except Exception as error:  # zip, its compression and NumPy's header raise errors of many kinds
        raise InvalidInput(f"cannot read {member} as {member.suffix}: {' '.join(str(error).split()):.200}") from None


def _array(arrays: Mapping[str, np.ndarray[Any, Any]], name: str | None, file: Path) -> np.ndarray[Any, Any] | None:
    if name is None:
        return None
    if name not in arrays:
        raise InvalidInput(f"{file} has no array {name!r}; {nearest(name, arrays)}")
    return arrays[name]
