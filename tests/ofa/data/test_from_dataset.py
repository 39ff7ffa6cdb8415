"""Map-style data sets: the same bits for any number of workers and from any step on; what fails is one line."""

from __future__ import annotations

import random
import signal
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ofa.data import Dataset, batches, from_dataset, steps_per_epoch
from ofa.data.contents import changes, contents_of
from ofa.errors import InvalidInput
from ofa.inputs import Inputs

COUNT = 40


@dataclass
class Noisy:
    """Rows with their number as target, and random numbers of three libraries added: an augmentation."""

    count: int = COUNT
    fails_at: int | None = None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        if row == self.fails_at:
            raise ValueError("not a\nreadable file")
        noise = torch.rand(3) + np.random.rand() + random.random()
        return torch.cat([torch.tensor([float(row)]), noise]), row


@dataclass
class Plain:
    """Rows that are always the same."""

    count: int = COUNT
    shift: float = 0.0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        return torch.full((1, 4, 4), row + self.shift), torch.tensor([float(row), -float(row)])


def epoch_of(data: Dataset, start: int = 0, **settings: Any) -> list[tuple[Any, Any]]:
    return list(batches(data.train, 6, **{"seed": 3, "epoch": 1, "start": start, **settings}))


def same(one: list[tuple[Any, Any]], other: list[tuple[Any, Any]]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in pairs)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_every_number_of_workers_gives_the_same_bits_from_any_step(workers: int) -> None:
    alone = epoch_of(from_dataset(Noisy(), num_classes=COUNT))
    assert len(alone) == 5 and len({float(inputs[0, 1]) for inputs, _ in alone}) == 5
    data = from_dataset(Noisy(), num_classes=COUNT, num_workers=workers)
    for start in (0, 3):
        assert same(epoch_of(data, start), alone[start:])
    assert not same(epoch_of(data, epoch=2), alone) and not same(epoch_of(data, seed=4), alone)


def test_every_row_comes_once_with_its_target() -> None:
    data = from_dataset(Noisy(), num_classes=COUNT)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [32, 4, 4]
    seen = []
    for split in (data.train, data.validation, data.test):
        for inputs, targets in split.in_order(5):
            assert torch.equal(inputs[:, 0].long(), targets)
            seen += targets.tolist()
    assert sorted(seen) == list(range(COUNT))
    assert steps_per_epoch(data.train, 6) == 5 and steps_per_epoch(data.train, 6, drop_last=False) == 6


def test_the_global_generators_stay_as_they_were() -> None:
    data = from_dataset(Noisy(), num_classes=COUNT)
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    expected = (torch.rand(1), np.random.rand(), random.random())
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    threads = torch.get_num_threads()
    epoch_of(data), list(data.test.in_order(2)), data.calibration(3)
    epoch_of(from_dataset(Noisy(), num_classes=COUNT, num_workers=1))
    assert (torch.rand(1), np.random.rand(), random.random()) == expected
    assert torch.get_num_threads() == threads


def test_calibration_is_nested_and_from_the_training_rows() -> None:
    data = from_dataset(Plain())
    many, few = data.calibration(20), data.calibration(7)
    assert torch.equal(many[:7], few) and len(data.calibration(1000)) == len(data.train)
    trained_on = {float(row) for inputs, _ in data.train.in_order(8) for row in inputs[:, 0, 0, 0]}
    assert {float(row) for row in many[:, 0, 0, 0]} <= trained_on
    assert data.input_shape == (1, 4, 4) and data.num_outputs == 2 and data.example().shape == (2, 1, 4, 4)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_row_that_raises_is_named(workers: int) -> None:
    data = from_dataset(Noisy(fails_at=17), validation=Noisy(), test=Noisy(), num_workers=workers, num_classes=COUNT)
    said = r"^train of dataset: row 17 cannot be read: ValueError: not a readable file$"
    with pytest.raises(InvalidInput, match=said):
        list(batches(data.train, 8, seed=0, epoch=0))
    with pytest.raises(InvalidInput, match=said):
        contents_of(data)


def test_rows_of_any_form() -> None:
    def shown(rows: list[Any], **settings: Any) -> Any:
        return from_dataset(rows, validation=rows, test=rows, outputs=1, **settings).train.take(torch.tensor([0, 1]))

    inputs, targets = shown([{"input_ids": [1, 2], "mask": [True, False], "labels": 3}] * 4)
    assert isinstance(inputs, Inputs) and list(inputs.kwargs) == ["input_ids", "mask"]
    assert targets.tolist() == [3, 3] and inputs.kwargs["input_ids"].dtype == torch.int64
    inputs, targets = shown([{"x": np.ones(3, np.float32), "y": 0.5, "name": "a"}] * 4, inputs="x", targets="y")
    assert inputs.shape == (2, 3) and targets.dtype == torch.float32 and targets.tolist() == [0.5, 0.5]
    boxes = [
        (torch.rand(3, 8, 8), {"boxes": torch.rand(row % 3, 4), "labels": torch.zeros(row % 3)}) for row in range(4)
    ]
    inputs, targets = shown(boxes)
    assert inputs.shape == (2, 3, 8, 8) and [len(entry["boxes"]) for entry in targets] == [0, 1]
    inputs, targets = shown([torch.ones(2)] * 4)
    assert inputs.shape == (2, 2) and targets is None


def test_images_of_pil_become_tensors() -> None:
    image = pytest.importorskip("PIL.Image")
    rows = [{"image": image.fromarray(np.full((4, 6, 3), 51, np.uint8)), "label": row % 2} for row in range(20)]
    data = from_dataset(rows, inputs="image", targets="label", num_classes=2)
    inputs, targets = data.train.first
    assert inputs.shape == (2, 3, 4, 6) and float(inputs.max()) == pytest.approx(0.2)
    assert targets.dtype == torch.int64


def test_a_table_of_datasets_is_read_by_column_and_knows_its_classes() -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"x": datasets.Sequence(datasets.Value("float32")), "y": datasets.ClassLabel(names=["ant", "bee"])}
    )
    rows = {"x": [[float(row), 1.0] for row in range(30)], "y": [row % 2 for row in range(30)]}
    table = datasets.Dataset.from_dict(rows, features=features)
    data = from_dataset(table, inputs="x", targets="y", labels="y", num_workers=1)
    assert data.class_names == ("ant", "bee") and data.num_classes == 2
    for inputs, targets in batches(data.train, 4, seed=0, epoch=0):
        assert torch.equal(inputs[:, 0].long() % 2, targets)
    halves = [sum(targets.tolist()) for split in (data.validation, data.test) for _, targets in split.in_order(10)]
    assert halves in ([1, 2], [2, 1], [2, 2], [1, 1])


def test_groups_are_in_one_split_alone() -> None:
    groups = np.arange(COUNT) // 3
    for given in (groups, groups.tolist(), torch.from_numpy(groups), [f"patient {number}" for number in groups]):
        data = from_dataset(Plain(), groups=given, validation=0.2, test=0.2)
        parts = [
            {int(row) // 3 for inputs, _ in split.in_order(50) for row in inputs[:, 0, 0, 0]}
            for split in (data.train, data.validation, data.test)
        ]
        assert len(set.union(*parts)) == sum(map(len, parts)) == 14
        assert all(5 <= len(split) <= 11 for split in (data.validation, data.test))


def test_contents_that_changed_are_told() -> None:
    before = contents_of(from_dataset(Plain()))
    assert changes(before, contents_of(from_dataset(Plain()))) == ""
    assert "of 32 rows looked at" in changes(before, contents_of(from_dataset(Plain(shift=0.5))))
    assert changes(before, contents_of(from_dataset(Plain(count=41)))).startswith("train ")
    cut_otherwise = contents_of(from_dataset(Plain(), seed=1))
    assert changes(before, cut_otherwise)
    # A data set that adds noise by the global generators is the same; one with a generator of its own is by its length.
    assert (
        changes(
            contents_of(from_dataset(Noisy(), num_classes=COUNT)), contents_of(from_dataset(Noisy(), num_classes=COUNT))
        )
        == ""
    )
    rng = np.random.default_rng()

    class Own(Plain):
        def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
            return torch.full((1, 4, 4), rng.random()), torch.zeros(2)

    assert changes(contents_of(from_dataset(Own())), contents_of(from_dataset(Own()))) == ""
    assert changes(contents_of(from_dataset(Own())), contents_of(from_dataset(Own(50)))) != ""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"train": iter([1])}, "train is of type list_iterator; give a data set with len"),
        ({"train": "cats"}, "train is of type str"),
        ({"train": []}, "train, a list, has no rows"),
        ({"validation": 3}, "validation is of type int"),
        ({"validation": 0.7, "test": 0.6}, "together they must be below 1"),
        ({"num_workers": -1}, "num_workers=-1"),
        ({"groups": [1, 2]}, "groups: 2 values for 40 rows"),
        ({"groups": [1, 2] * 20}, "groups has 2 different values, and no group may be in two splits"),
        (
            {"groups": "patient"},
            "groups='patient' is no column or attribute of the data set",
        ),
        ({"train": [(torch.rand(2 + row % 2), 0) for row in range(20)]}, "inputs of shapes"),
        ({"train": [(1, 2, 3)] * 20}, "train of dataset: a batch is a"),
        ({"train": [{"x": 1.0}] * 20, "inputs": "y"}, "rows have no 'y'"),
    ],
)
def test_what_makes_no_data_set_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        from_dataset(**{"train": Plain(), **given})


def test_workers_leave_the_handler_of_ended_children_alone() -> None:
    before = signal.getsignal(signal.SIGCHLD)
    data = from_dataset(Plain(), validation=0.2, test=0.2, num_workers=1)
    assert len(epoch_of(data)) == steps_per_epoch(data.train, 6) > 1
    assert signal.getsignal(signal.SIGCHLD) == before
