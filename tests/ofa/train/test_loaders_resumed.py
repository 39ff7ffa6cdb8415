"""A training whose data comes from loaders resumes with the same bits, whatever the number of workers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

import ofa
from ofa.data import Dataset, from_dataset, from_iterables, stream
from ofa.models import MLP
from ofa.task import regression
from ofa.train import TrainSettings, sandwich, train
from tests.ofa.train.supernet_trainings import same, without_time

TASK = regression()


class Noisy(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Rows of four numbers with noise of two libraries, and their sum."""

    def __len__(self) -> int:
        return 160

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        numbers = torch.randn(4, generator=torch.Generator().manual_seed(row))
        return numbers + 0.1 * torch.randn(4) + 0.1 * np.random.rand(), numbers.sum()


def loader(epoch: int) -> DataLoader[Any]:
    return DataLoader(Noisy(), batch_size=16, shuffle=True)


def map_style(folder: Path, workers: int) -> Dataset:
    return from_dataset(Noisy(), num_workers=workers)


def of_loader(folder: Path, workers: int) -> Dataset:
    return from_iterables(train=loader, validation=loader)


def streamed(folder: Path, workers: int) -> Dataset:
    pytest.importorskip("datasets")
    import pyarrow
    from pyarrow import parquet

    for part in range(2):
        rows = [{"x": Noisy()[row][0].tolist(), "y": float(Noisy()[row][1])} for row in range(part, 160, 2)]
        if not (file := folder / f"train-{part}.parquet").exists():
            parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    return stream(str(folder), inputs="x", targets="y", validation=20, shuffle_buffer=40)


def supernet(seed: int) -> ofa.Supernet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ofa.Supernet(MLP((4,), 1, width=16, depth=2), torch.randn(2, 4))


def fit(net: ofa.Supernet, data: Dataset, checkpoint: Path | None = None, **changes: Any) -> Any:
    settings = TrainSettings(optimizer=partial(torch.optim.SGD, lr=0.01), epochs=3, batch_size=16, **changes)
    return train(net, data, sandwich, settings, task=TASK, checkpoint=checkpoint)


@pytest.mark.parametrize(
    ("make", "workers"),
    [(map_style, 0), (map_style, 2), (of_loader, 0), (streamed, 0)],
    ids=["map-style", "map-style with workers", "loader", "stream"],
)
def test_a_stopped_training_ends_with_the_same_bits(make: Any, workers: int, tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    whole = supernet(0)
    history = fit(whole, make(folder, 0))
    assert history[-1]["loss"] < history[0]["loss"]
    path = tmp_path / "training.safetensors"
    for number, step in enumerate((3, 11, 20)):
        fit(supernet(9 if number else 0), make(folder, workers), path, stop_step=step)
    resumed = supernet(9)
    again = fit(resumed, make(folder, workers), path)
    assert without_time(again) == without_time(history)
    assert same(whole.model, resumed.model)
