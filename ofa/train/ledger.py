"""What a training has to tell: losses, checked to be numbers, and one row an epoch."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from ofa.train.resume import Progress


@dataclass
class Ledger:
    """Progress of one run of the loop, with the losses that are still on the device."""

    progress: Progress
    steps_per_epoch: int
    epochs: int
    pending: dict[int, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._seconds_before = self.progress.seconds
        self._started = time.monotonic()

    @property
    def total_steps(self) -> int:
        """Steps of the whole training."""
        return self.steps_per_epoch * self.epochs

    def collect(self) -> tuple[int, float] | None:
        """Reads the pending losses; returns the first (step, loss) that is not finite, if any."""
        if not self.pending:
            return None
        losses = torch.stack(list(self.pending.values())).tolist()
        bad = [(step, loss) for step, loss in zip(self.pending, losses, strict=True) if not math.isfinite(loss)]
        self.progress.epoch_losses += losses
        self.pending.clear()
        return bad[0] if bad else None

    def finish_step(self) -> None:
        """Counts a step and the time."""
        self.progress.step += 1
        self.progress.seconds = self._seconds_before + time.monotonic() - self._started

    def at_epoch_end(self) -> bool:
        """Whether the last step counted was the last of an epoch."""
        return self.progress.step % self.steps_per_epoch == 0

    def row(self, learning_rate: float) -> dict[str, Any]:
        """Epoch (1 is the first), step, mean loss of the epoch so far, learning rate, seconds."""
        return {
            "epoch": -(-self.progress.step // self.steps_per_epoch),
            "step": self.progress.step,
            "loss": fmean(self.progress.epoch_losses) if self.progress.epoch_losses else None,
            "learning_rate": learning_rate,
            "seconds": round(self.progress.seconds, 3),
        }

    def finish_epoch(self, row: dict[str, Any]) -> None:
        """Keeps `row` and starts the losses of the next epoch."""
        self.progress.history.append(row)
        self.progress.epoch_losses.clear()
