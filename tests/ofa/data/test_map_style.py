"""A worker process that ends while it reads is said in a line, with what ended it and what helps."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from ofa.data import batches, from_dataset
from ofa.errors import InvalidInput

MEMORY = "as happens where memory, or shared memory, runs out: free some, or take fewer num_workers; "


class Dying:
    """Rows of which one ends the worker process that reads it."""

    def __init__(self, how: Callable[[], None]) -> None:
        self.how = how

    def __len__(self) -> int:
        return 40

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        if row == 17 and torch.utils.data.get_worker_info() is not None:
            self.how()
        return torch.full((4,), float(row)), row % 2


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def left() -> None:
    os._exit(3)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (killed, f"was killed by SIGKILL, {MEMORY}the same command goes on$"),
        (left, "ended: RuntimeError: .*; num_workers=0 reads in this process and says why$"),
    ],
)
def test_a_worker_that_ends_is_said_in_a_line(how: Callable[[], None], said: str) -> None:
    data = from_dataset(Dying(how), num_workers=2, num_classes=2)
    with pytest.raises(InvalidInput, match=rf"^train of dataset: a worker process {said}") as error:
        list(batches(data.train, 8, seed=0, epoch=0))
    assert "\n" not in str(error.value)


def test_a_process_that_may_have_no_children_reads_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ofa.data.map_style.current_process", lambda: SimpleNamespace(daemon=True))
    data = from_dataset(Dying(killed), num_workers=2, num_classes=2)
    assert len(list(batches(data.train, 8, seed=0, epoch=0))) == 4
