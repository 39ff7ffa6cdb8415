"""Streams of local files: every row once an epoch, the same bits after a stop, shards by rank, files known again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ofa.data import batches, steps_per_epoch, stream
from ofa.data.contents import changes, contents_of
from ofa.errors import InvalidInput
from ofa.inputs import Inputs
from ofa.processes import Processes

pytest.importorskip("datasets")


def rows(first: int, last: int) -> list[dict[str, Any]]:
    return [{"x": [float(row), row / 2], "y": row % 3, "text": "abc"[row % 3] * 4} for row in range(first, last)]


def parquet(file: Path, first: int, last: int) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows(first, last)), file)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        parquet(tmp_path / f"train-{number}.parquet", number * 25, number * 25 + 25)
    parquet(tmp_path / "test-0.parquet", 100, 120)
    return tmp_path


def of(path: Path, **settings: Any) -> Any:
    return stream(str(path), **{"inputs": "x", "targets": "y", "num_classes": 3, "validation": "test", **settings})


def order(data: Any, epoch: int = 0, seed: int = 0, batch_size: int = 10) -> list[int]:
    made = [inputs for inputs, _ in batches(data.train, batch_size, seed=seed, epoch=epoch)]
    return torch.cat(made)[:, 0].long().tolist()


def test_every_row_comes_once_in_an_order_of_seed_and_epoch(folder: Path) -> None:
    data = of(folder, shuffle_buffer=30)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [100, 20, 20]
    orders = [order(data, epoch, seed) for seed in (0, 1) for epoch in (0, 1)]
    assert all(sorted(each) == list(range(100)) for each in orders) and len({tuple(each) for each in orders}) == 4
    assert order(data) == orders[0] and order(of(folder, shuffle_buffer=0)) == list(range(100))
    for inputs, targets in data.test.in_order(8):
        assert torch.equal(inputs[:, 0].long() % 3, targets) and inputs.dtype == torch.float32
    assert data.calibration(70).shape == (70, 2) and data.calibration(1000).shape == (100, 2)


def noisy(row: dict[str, Any]) -> dict[str, Any]:
    return {"x": torch.tensor(row["x"]) + torch.rand(2), "y": row["y"]}


@pytest.mark.parametrize("start", [0, 1, 9, 10])
def test_starting_at_a_step_gives_the_same_bits(folder: Path, start: int) -> None:
    data = of(folder, transform=noisy)
    assert steps_per_epoch(data.train, 10) == 10
    whole, rest = (list(batches(data.train, 10, seed=3, epoch=1, start=first)) for first in (0, start))
    pairs = zip(whole[start:], rest, strict=True)
    assert all(torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in pairs)


def test_files_of_json_lines_are_counted_and_tokenized(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows(0, 33))))

    def tokenized(row: dict[str, Any]) -> dict[str, Any]:
        return {"input_ids": [ord(character) - 97 for character in row["text"]], "labels": row["y"]}

    data = stream(str(tmp_path / "train.jsonl"), transform=tokenized, validation=5, test=7, num_classes=3)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [21, 5, 7]
    (inputs, targets), *_ = data.test.in_order(7)
    assert isinstance(inputs, Inputs) and torch.equal(inputs.kwargs["input_ids"][:, 0], targets)
    assert targets.tolist() == [row % 3 for row in range(5, 12)]
    held_out = stream(str(tmp_path / "train.jsonl"), transform=tokenized, validation=5, num_classes=3)
    assert [len(split) for split in (held_out.train, held_out.validation, held_out.test)] == [28, 5, 5]
    (_, judged), *_ = held_out.test.in_order(7)
    assert judged.tolist() == [0, 1, 2, 0, 1]


def test_ranks_read_shards_of_their_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = of(folder, shuffle_buffer=0)
    seen = []
    for rank in range(2):
        monkeypatch.setattr("ofa.data.hub_streams.processes", lambda rank=rank: Processes(rank, 2))
        assert len(data.train) == 100 and steps_per_epoch(data.train, 10) == 10
        whole, rest = (list(batches(data.train, 10, seed=0, epoch=0, start=start)) for start in (0, 3))
        assert {len(targets) for _, targets in whole} == {5}  # of 10 of both ranks
        assert all(torch.equal(a, b) for (a, _), (b, _) in zip(whole[3:], rest, strict=True))
        seen.append(set(order(data)))
        assert sum(len(targets) for _, targets in data.test.in_order(8)) == 20
    assert seen[0] | seen[1] == set(range(100)) and not seen[0] & seen[1]


@pytest.mark.parametrize("world", [1, 2, 3])
def test_no_rank_trains_on_rows_that_are_held_out(folder: Path, monkeypatch: pytest.MonkeyPatch, world: int) -> None:
    data = of(folder, validation=30, test=12, shuffle_buffer=20)
    seen: list[int] = []
    for rank in range(world):
        monkeypatch.setattr("ofa.data.hub_streams.processes", lambda rank=rank: Processes(rank, world))
        assert steps_per_epoch(data.train, 2 * world) == 58 // (2 * world)
        whole = [inputs for inputs, _ in batches(data.train, 2 * world, seed=0, epoch=1)]
        rest = [inputs for inputs, _ in batches(data.train, 2 * world, seed=0, epoch=1, start=3)]
        assert all(torch.equal(a, b) for a, b in zip(whole[3:], rest, strict=True))
        seen += torch.cat(whole)[:, 0].long().tolist()
    assert len(set(seen)) == len(seen) and set(seen) <= set(range(42, 100))
    held_out = [
        inputs[:, 0].long().tolist() for split in (data.validation, data.test) for inputs, _ in split.in_order(50)
    ]
    assert held_out == [list(range(30)), list(range(30, 42))]


def test_other_files_are_other_data(folder: Path) -> None:
    before = contents_of(of(folder))
    assert changes(before, contents_of(of(folder))) == ""
    parquet(folder / "train-2.parquet", 51, 76)
    assert "train" in changes(before, contents_of(of(folder)))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"validation": "valid"}, "validation='valid': no such split; .*test.*or give a number"),
        ({"train": "training"}, "train='training': no such split"),
        ({"validation": 0}, "validation=0: must be the name of a split"),
        ({"validation": 70, "test": 30}, "train has 100 rows, and 100 are taken away"),
        ({"shuffle_buffer": -1}, "shuffle_buffer=-1"),
        ({"inputs": "z"}, "rows have no 'z'"),
        ({"examples": 10**6}, None),
    ],
)
def test_what_makes_no_stream_is_refused(given: dict[str, Any], said: str | None, folder: Path) -> None:
    if said is not None:
        with pytest.raises(InvalidInput, match=said):
            of(folder, **given)
        return
    with pytest.raises(
        InvalidInput, match=r"ended after 10 of 100000 batches of 10; give its number of rows as examples"
    ):
        order(of(folder, **given))


def test_paths_that_hold_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="does not exist"):
        stream(str(tmp_path / "gone"))
    (tmp_path / "a.bin").write_bytes(b"0")
    with pytest.raises(InvalidInput, match=r"a\.bin is no file of \.parquet"):
        stream(str(tmp_path / "a.bin"))
    (tmp_path / "a.parquet").write_bytes(b"0")
    with pytest.raises(InvalidInput) as error:
        stream(str(tmp_path / "a.parquet"), validation=1)
    assert "\n" not in str(error.value)
