"""Folders of images, one folder per class: which splits there are, and which files they hold."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ofa.data.image_files import Reading, check_regular
from ofa.errors import InvalidInput

# What people call the folders of splits; case does not matter.
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp", ".dib", ".gif", ".ppm", ".pgm"),
    *(".pbm", ".pnm", ".jp2", ".j2k", ".avif", ".tga", ".pcx", ".ico"),
)
_DEEPEST = 32  # levels of nested folders


@dataclass(frozen=True)
class FolderSplit:
    """The images of one split, in the order of their names, with the number of each one's class."""

    root: Path
    files: tuple[Path, ...]
    labels: tuple[int, ...]
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        """The number of images."""
        return len(self.files)

    def __getitem__(self, rows: list[int]) -> Sequence[Path]:
        """Returns the files of these rows."""
        return [self.files[row] for row in rows]


def split_folders(root: Path) -> dict[str, Path]:
    """Returns the folders of the splits "train", "validation" and "test" that stand in `root`.

    Without one called train, `root` itself is "train", and its folders are classes.

    Raises:
        InvalidInput: two folders for one split, such as val/ and valid/.
    """
    folders = {entry.name.lower(): Path(entry.path) for entry in _entries(root) if _is_folder(entry)}
    if not any(name in folders for name in SPLIT_NAMES["train"]):
        return {"train": root}
    splits = {}
    for part, names in SPLIT_NAMES.items():
        there = [folders[name] for name in names if name in folders]
        if len(there) > 1:
            both = " and ".join(f"{folder.name}/" for folder in there)
            raise InvalidInput(f"{root} has {both}, either of which could be for {part}; rename one of them")
        if there:
            splits[part] = there[0]
    return splits


def other_folders(root: Path, splits: Mapping[str, Path]) -> list[str]:
    """Returns the names of folders beside those of the splits that are not splits."""
    if splits.get("train") == root:
        return []
    taken = {folder.name for folder in splits.values()}
    return sorted(entry.name for entry in _entries(root) if _is_folder(entry) and entry.name not in taken)


def read_folder(root: Path, folder: Path, reading: Reading, classes: Sequence[str] = ()) -> FolderSplit:
    """Returns the images of one split's folder: `folder`/<class>/**/<image>.

    Hidden files and those without the extension of an image are ignored. A link is followed where it leads
    to a place inside `root`, and elsewhere only if `reading` says so.

    Args:
        classes: those of the training images; none: the names of the folders, in order.

    Raises:
        InvalidInput: no folders of classes, no images, a class that `classes` does not have, an image that is
            a FIFO, a device or larger than allowed, or a link that leads out.
    """
    folders = {entry.name: Path(entry.path) for entry in _entries(folder) if _is_folder(entry)}
    names = tuple(classes) or tuple(sorted(folders))
    if unknown := sorted(folders.keys() - set(names)):
        raise InvalidInput(f"{folder / unknown[0]} is a class that the training images do not have ({_first(names)})")
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        images = sorted(_images(root, folders[name], reading)) if name in folders else []
        if not images and not classes:
            raise InvalidInput(f"{folders[name]} holds no images; every folder is a class: fill it or remove it")
        files += images
        labels += [label] * len(images)
    if not files:
        loose = any(_is_image(entry.name) for entry in _entries(folder))
        reason = "its images are not in folders" if loose else "it has no folders with images"
        raise InvalidInput(f"{folder}: {reason}; images go in one folder per class, such as {folder.name}/cat/1.png")
    return FolderSplit(root, tuple(files), tuple(labels), names)


def _images(root: Path, folder: Path, reading: Reading, above: tuple[str, ...] = ()) -> list[Path]:
    """The image files of a class, in nested folders too."""
    real = _checked_link(root, folder, reading)
    if real in above or len(above) >= _DEEPEST:
        raise InvalidInput(f"{folder} is a link to a folder that it lies in, or lies too deep; remove it")
    images: list[Path] = []
    for entry in _entries(folder):
        path = Path(entry.path)
        if _is_folder(entry):
            images += _images(root, path, reading, (*above, real))
        elif _is_image(entry.name):
            if entry.is_symlink():
                _checked_link(root, path, reading)
            try:
                check_regular(os.stat(path), path, reading)
            except OSError as error:
                raise InvalidInput(f"{path} cannot be read ({error.strerror}); fix or remove it") from None
            images.append(path)
    return images


def _checked_link(root: Path, path: Path, reading: Reading) -> str:
    """Returns where a path really is."""
    real = os.path.realpath(path)
    if not reading.outside and not Path(real).is_relative_to(os.path.realpath(root)):
        raise InvalidInput(
            f"{path} is a link out of {root}, to {real}; copy it in, or give data.dataset.outside_links=true"
        )
    return real


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder by name, without hidden ones."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be read ({error.strerror})") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_image(name: str) -> bool:
    return name.lower().endswith(_SUFFIXES)


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:9]) + (", ..." if len(names) > 9 else "")
