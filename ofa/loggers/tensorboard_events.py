"""TensorBoardLogger: event files that `tensorboard --logdir` shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ofa.loggers.logger import needs, numbers


class TensorBoardLogger:
    """Writes events into `<folder>/tensorboard/<name>/`: a curve for each figure of the rows.

    Raises:
        InvalidInput: tensorboard is not installed.
    """

    def __init__(self, folder: Path | str, name: str) -> None:
        needs("tensorboard", "tensorboard")
        self._make = needs("torch.utils.tensorboard", "tensorboard").SummaryWriter
        self.folder = Path(folder) / "tensorboard" / name
        self._writer: Any = None

    def open(self, *, fresh: bool) -> int | None:
        """Returns the last step among the events; those of other work are removed for a `fresh` one."""
        last = None
        if fresh:
            for path in self.folder.glob("events.out.tfevents.*"):
                path.unlink()
        elif self.folder.exists():
            last = last_step(self.folder)
        self._writer = self._make(str(self.folder))
        return last

    def log(self, step: int, row: Mapping[str, Any]) -> None:
        """Adds a point to each curve."""
        for name, value in numbers(row):
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Closes the file."""
        if self._writer is not None:
            self._writer.close()


def last_step(folder: Path) -> int | None:
    """Returns the last step among the events of a folder; None: there are none."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    steps = [event.step for tag in events.Tags()["scalars"] for event in events.Scalars(tag)]
    return max(steps, default=None)
