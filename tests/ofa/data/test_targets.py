"""Targets of any kind go with their examples: in batches, in order, on a file, in the record of a stage's data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ofa.data import Dataset, Preprocessing, Split, batches
from ofa.data.checks import check_data
from ofa.data.contents import changes, contents_of
from ofa.data.targets import rows_of_targets, target_identities
from ofa.data_file import load_data, save_data
from ofa.errors import InvalidInput

COUNT = 12
HOW = Preprocessing(1.0, (0.0,), (1.0,))


def numbers(*shape: int) -> Tensor:
    """A tensor whose rows hold their own number."""
    return torch.arange(COUNT).view(-1, *[1] * len(shape)).expand(-1, *shape)


def boxes(row: int) -> dict[str, Tensor]:
    return {"boxes": torch.full((row % 3, 4), float(row)), "labels": torch.full((row % 3,), row)}


KINDS: dict[str, Any] = {
    "numbers": numbers().float(),
    "rows": numbers(3).float() + torch.arange(3),
    "bools": numbers(5) % torch.arange(2, 7) == 0,
    "masks": numbers(4, 4),
    "padded boxes": {"boxes": numbers(2, 4).float(), "labels": numbers(2)},
    "boxes": [boxes(row) for row in range(COUNT)],
    "pairs": (numbers(), numbers(2).float()),
    "none": None,
}


def split(targets: Any) -> Split:
    return Split(numbers(1, 4, 4).float(), targets, HOW)


def data_of(targets: Any, **facts: Any) -> Dataset:
    part = split(targets)
    held = Split(part.pixels + 0.5, targets, HOW)  # type: ignore[operator]
    return Dataset("mine", part, held, held, **facts)


def numbers_in(targets: Any) -> set[float]:
    if isinstance(targets, dict):
        return set.union(*map(numbers_in, targets.values()))
    if isinstance(targets, list | tuple):
        return set.union(*map(numbers_in, targets))
    return set(targets.flatten().tolist())


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"none", "bools", "rows"}))
def test_every_example_keeps_its_target(kind: str) -> None:
    for inputs, targets in batches(split(KINDS[kind]), 1, seed=0, epoch=0):
        row = int(inputs.flatten()[0])
        empty = kind == "boxes" and not row % 3
        assert numbers_in(targets) == (set() if empty else {row})


@pytest.mark.parametrize("kind", KINDS)
def test_batches_and_order_are_rows_of_the_targets(kind: str) -> None:
    targets = KINDS[kind]
    for make in (split(targets).in_order(5), batches(split(targets), 5, seed=1, epoch=2, drop_last=False)):
        seen = 0
        for inputs, some in make:
            rows = inputs[:, 0, 0, 0].long()
            expected = rows_of_targets(targets, rows)
            assert torch.equal(target_identities(some, len(rows)), target_identities(expected, len(rows)))
            seen += len(rows)
        assert seen == COUNT


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_target_is_another_data_set(kind: str, tmp_path: Path) -> None:
    targets = KINDS[kind]
    data = data_of(targets)
    before = contents_of(data)
    assert changes(before, contents_of(data_of(targets))) == ""
    if targets is not None:
        turned = rows_of_targets(targets, torch.tensor([0, 2, 1, *range(3, COUNT)]))
        assert changes(before, contents_of(replace(data, train=split(turned)))) == "train 2 targets changed"
    if kind in ("boxes", "pairs"):
        with pytest.raises(InvalidInput, match="only tensors are stored"):
            save_data(data, tmp_path / "data.safetensors")
        return
    save_data(data, tmp_path / "data.safetensors")
    assert changes(before, contents_of(load_data(tmp_path / "data.safetensors"))) == ""


def test_facts_of_a_data_set_come_back_from_its_file(tmp_path: Path) -> None:
    data = data_of(KINDS["rows"], target_names=("a", "b", "c"), outputs=3, bytes_per_token=1.5)
    save_data(data, tmp_path / "data.safetensors")
    again = load_data(tmp_path / "data.safetensors")
    assert (again.target_names, again.outputs, again.bytes_per_token) == (("a", "b", "c"), 3, 1.5)
    assert again.num_classes is None and again.class_names == ()


@pytest.mark.parametrize(
    ("kind", "facts", "outputs"),
    [
        ("numbers", {}, 1),
        ("rows", {}, 3),
        ("bools", {}, 5),
        ("masks", {"num_classes": 7}, 7),
        ("none", {"outputs": 4}, 4),
    ],
)
def test_outputs_follow_from_what_is_known(kind: str, facts: dict[str, int], outputs: int) -> None:
    assert data_of(KINDS[kind], **facts).num_outputs == outputs


@pytest.mark.parametrize("kind", ["masks", "boxes", "none"])
def test_outputs_that_nothing_says_are_asked_for(kind: str) -> None:
    with pytest.raises(InvalidInput, match="do not say how many outputs a network has; give num_classes or outputs"):
        _ = data_of(KINDS[kind]).num_outputs


def test_other_targets_are_no_labels() -> None:
    with pytest.raises(InvalidInput, match=r"the targets are float32 \(N, 3\), and not one class label each"):
        _ = split(KINDS["rows"]).labels
    assert torch.equal(split(numbers()).labels, torch.arange(COUNT))


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (torch.zeros(5), "do not fit 5 labels"),
        (torch.zeros(5, 2), "do not fit 5 targets"),
        ({"boxes": torch.zeros(COUNT, 4), "labels": [1, 2]}, "do not fit 2 targets"),
        ("cats", "targets hold str; give tensors or lists with an entry for each example"),
        (torch.tensor(1.0), "targets hold Tensor; give"),
    ],
)
def test_targets_that_do_not_fit_are_refused(targets: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        split(targets)


def test_names_must_fit_and_targets_must_vary() -> None:
    with pytest.raises(InvalidInput, match="2 target_names for targets of 3 columns"):
        data_of(KINDS["rows"], target_names=("a", "b"))
    varied = {"targets": torch.rand(COUNT, 2), "pixels": torch.rand(COUNT, 1, 4, 4)}
    sound = data_of(KINDS["none"])
    sound = replace(sound, **{part: replace(sound.train, **varied) for part in ("validation", "test")})
    sound = replace(sound, train=replace(sound.train, targets=torch.rand(COUNT, 2)))
    constant = sound.train.targets.clone()
    constant[:, 1] = 3
    half = replace(sound, train=replace(sound.train, targets=constant), target_names=("height", "width"))
    notes = check_data(half)
    assert notes[0] == "1 of 2 targets are the same for every training example (width)"
    with pytest.raises(InvalidInput, match="every training target is the same"):
        check_data(replace(sound, train=replace(sound.train, targets=torch.ones(COUNT, 2))))


@pytest.mark.parametrize("shape", [(3,), (3, 7), (3, 5, 4), (3, 4, 4, 4)])
def test_every_shape_is_normalized_by_channel(shape: tuple[int, ...]) -> None:
    values = torch.rand(COUNT, *shape)
    part = Split(values, None, Preprocessing(2.0, (0.1, 0.2, 0.3), (1.0, 2.0, 4.0)))
    seen, _ = part.take(torch.arange(COUNT))
    for channel, (mean, std) in enumerate([(0.1, 1.0), (0.2, 2.0), (0.3, 4.0)]):
        torch.testing.assert_close(seen[:, channel], (values[:, channel] / 2 - mean) / std)
    assert part.shape == shape
    with pytest.raises(InvalidInput, match="do not fit mean and std of 2 channels"):
        Split(values, None, Preprocessing(2.0, (0.1, 0.2), (1.0, 2.0)))
