"""The run that is pruned, and what it leaves."""

from __future__ import annotations

from pathlib import Path

from tests.record_files import content_of

TINY = [
    "model=lenet5",
    "data=synthetic",
    "data.dataset.image_size=8",
    "data.dataset.samples=320",
    "dense.epochs=4",
    "dense.batch_size=32",
    "dense.validate_every=2",
    "run=tiny",
]
RUN = Path("outputs/tiny")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def card_of(place: Path) -> dict[str, object]:
    return content_of(place / "card.json")
