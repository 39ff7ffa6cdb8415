"""The folder of a compressed network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CompressedFolder:
    """The files of a compressed network."""

    root: Path

    @property
    def network(self) -> Path:
        """The network, one file (see `ofa.compress.load`)."""
        return self.root / "model.ofaz"

    @property
    def card(self) -> Path:
        """What is known about it: bytes and scores after each stage, where it came from."""
        return self.root / "card.json"

    @property
    def log(self) -> Path:
        """The same as text, with the bytes of every tensor."""
        return self.root / "log.txt"

    @property
    def state(self) -> Path:
        """An unfinished compression: what the stages that are done have left."""
        return self.root / "state.safetensors"

    @property
    def checkpoint(self) -> Path:
        """The state of a stage's unfinished training."""
        return self.root / "checkpoint.safetensors"
