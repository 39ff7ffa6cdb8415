"""The folder of a subnet: its files' names, and how it is written whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ofa.errors import InvalidInput


@dataclass(frozen=True)
class SubnetFolder:
    """The files of one extracted subnet."""

    root: Path

    @property
    def weights(self) -> Path:
        """The state_dict of the plain network."""
        return self.root / "model.safetensors"

    @property
    def masks(self) -> Path:
        """Where its weights are pruned, which of them are kept; there is none of a subnet that is not."""
        return self.root / "masks.safetensors"

    @property
    def onnx(self) -> Path:
        """The same network for any ONNX runtime."""
        return self.root / "model.onnx"

    @property
    def arch(self) -> Path:
        """Its Arch."""
        return self.root / "arch.json"

    @property
    def card(self) -> Path:
        """What is known about it."""
        return self.root / "card.json"

    @property
    def verify(self) -> Path:
        """Real inputs and their logits, to check an installation with."""
        return self.root / "verify.npz"

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them."""
        return (self.weights, self.onnx, self.arch, self.card, self.verify)

    @property
    def aside(self) -> Path:
        """Where the folder before stands for the moment of the exchange."""
        return self.root.with_name(f".{self.root.name}.old")

    def restore(self) -> None:
        """Puts the folder before back, should a kill have struck between the two renames of the exchange."""
        if self.aside.is_dir() and not self.root.exists():
            os.replace(self.aside, self.root)


@contextmanager
def replaced(root: Path) -> Iterator[SubnetFolder]:
    """Gives a folder beside `root` to fill; it takes `root`'s place at the end, and vanishes on any error.

    Raises:
        InvalidInput: `root` is something else than a subnet's folder.
    """
    final = SubnetFolder(root)
    final.restore()
    if root.exists() and not root.is_dir():
        raise InvalidInput(f"{root} is a file; name a folder that is new, empty or a subnet's")
    if root.is_dir() and any(root.iterdir()) and not final.card.is_file():
        raise InvalidInput(f"{root} holds other files; name a folder that is new, empty or a subnet's")
    building = SubnetFolder(root.with_name(f".{root.name}.tmp"))
    shutil.rmtree(building.root, ignore_errors=True)
    building.root.mkdir(parents=True)
    try:
        yield building
        shutil.rmtree(final.aside, ignore_errors=True)
        if root.is_dir():
            os.replace(root, final.aside)
        os.replace(building.root, root)
    finally:
        final.restore()
        shutil.rmtree(building.root, ignore_errors=True)
    shutil.rmtree(final.aside, ignore_errors=True)
