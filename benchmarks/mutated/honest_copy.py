"""A copy of an honest run, what was read of it before a file is another, and how what is read compares."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from search.run.paths import RunFolder
from search.training.trained import Trained, load_trained


@dataclass(frozen=True)
class Honest:
    """A copy of the run folder in which one file at a time is another; made while all are as they were."""

    root: Path

    @cached_property
    def trained(self) -> Trained:
        """The supernet of the run."""
        return load_trained(self.run("tiny"), show=False)

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """Its weights, to put back."""
        return {name: tensor.clone() for name, tensor in self.trained.supernet.model.state_dict().items()}

    def run(self, name: str) -> RunFolder:
        """A run of the folder."""
        return RunFolder(self.root / "outputs" / name)

    def content(self, path: Path) -> bytes:
        """The first bytes of a file as they were, by which caches know what they are asked for."""
        if path not in self._contents:
            self._contents[path] = path.read_bytes()
        return self._contents[path]

    @cached_property
    def settings(self) -> dict[Path, dict[str, Any]]:
        """Those of the trainings that were cut off."""
        return {}

    @cached_property
    def _contents(self) -> dict[Path, bytes]:
        return {}


def fingerprint(value: Any) -> str:
    """Returns text that is equal for equal values."""
    if isinstance(value, Tensor):
        flat = value.detach().contiguous().reshape(-1)
        return f"{value.dtype}{list(value.shape)}{flat.view(torch.uint8).numpy().tobytes()!r}" if flat.numel() else "[]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key!r}:{fingerprint(value[key])}" for key in sorted(value, key=repr)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(fingerprint, value)) + "]"
    return repr(value)
