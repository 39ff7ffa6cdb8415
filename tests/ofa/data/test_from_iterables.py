"""Loaders of one's own: the same bits after a stop, their own sizes of batches, and one line where they fail."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from ofa.data import batches, from_iterables, steps_per_epoch
from ofa.data.contents import changes, contents_of
from ofa.errors import InvalidInput

STEPS = 6


class Noisy:
    """Batches that hold their number, the epoch, and what three libraries draw."""

    def __init__(self, epoch: int, steps: int = STEPS, fails_at: int | None = None) -> None:
        self.epoch, self.steps, self.fails_at = epoch, steps, fails_at

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for number in range(self.steps):
            if number == self.fails_at:
                raise OSError("disk\nis gone")
            drawn = torch.rand(1) + np.random.rand() + random.random()
            yield torch.cat([torch.tensor([number, self.epoch]), drawn]).repeat(4, 1), torch.arange(4) % 2


def steps_alone(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    return iter(Noisy(epoch))


def test_batches_are_functions_of_seed_epoch_and_number() -> None:
    data = from_iterables(train=Noisy, validation=Noisy, num_classes=2)
    assert (len(data.train), data.input_shape, data.num_outputs) == (24, (3,), 2)
    assert steps_per_epoch(data.train, 100) == STEPS

    def epoch(start: int = 0, **settings: int) -> list[Tensor]:
        asked = {"seed": 1, "epoch": 2, **settings}
        return [inputs for inputs, _ in batches(data.train, 100, start=start, **asked)]

    whole = epoch()
    assert [tuple(inputs[0, :2].tolist()) for inputs in whole] == [(number, 2) for number in range(STEPS)]
    for start in (0, 2, 5):
        assert all(torch.equal(a, b) for a, b in zip(whole[start:], epoch(start), strict=True))
    assert not torch.equal(whole[0][:, 2], epoch(seed=2)[0][:, 2])
    assert len(epoch(6)) == 0


def test_a_shuffling_loader_of_torch_is_bit_exact_after_a_stop() -> None:
    table = TensorDataset(torch.arange(40.0)[:, None], torch.arange(40) % 2)

    def make(epoch: int) -> DataLoader[Any]:
        return DataLoader(table, batch_size=8, shuffle=True)

    data = from_iterables(train=make, validation=make, num_classes=2)
    whole, rest = (list(batches(data.train, 8, seed=0, epoch=1, start=start)) for start in (0, 2))
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(whole[2:], rest, strict=True))
    assert sorted(torch.cat([inputs for inputs, _ in whole]).flatten().tolist()) == list(range(40))
    state = torch.get_rng_state()
    next(iter(batches(data.train, 8, seed=0, epoch=1)))
    assert torch.equal(state, torch.get_rng_state())
    assert changes(contents_of(data), contents_of(from_iterables(train=make, validation=make, num_classes=2))) == ""


def test_evaluation_and_calibration_read_epoch_0() -> None:
    data = from_iterables(train=Noisy, validation=Noisy, test=Noisy, num_classes=2)
    assert [float(inputs[0, 0]) for inputs, _ in data.test.in_order(99)] == list(range(STEPS))
    assert data.calibration(10).shape == (10, 3) and data.calibration(1000).shape == (24, 3)
    assert data.example().shape == (2, 3)


def test_lengths_are_given_or_known_or_asked_for() -> None:
    data = from_iterables(train=steps_alone, validation=Noisy, steps=3, outputs=1)
    assert len(list(batches(data.train, 1, seed=0, epoch=0))) == 3 and len(data.train) == 12
    data = from_iterables(train=steps_alone, validation=steps_alone, examples={"train": 16, "validation": 8}, outputs=1)
    assert steps_per_epoch(data.train, 1) == 4 and len(list(data.validation.in_order(1))) == 2
    with pytest.raises(InvalidInput, match=r"train of iterables: a .*generator.* does not say how many batches"):
        from_iterables(train=steps_alone, validation=Noisy, outputs=1)


def test_a_loader_that_ends_early_or_fails_is_said_in_a_line() -> None:
    short = from_iterables(train=Noisy, validation=Noisy, steps=8, outputs=1)
    said = "train of iterables: epoch 3 ended after 6 of 8 batches; give the number it has as steps, or fix the loader"
    with pytest.raises(InvalidInput) as error:
        list(batches(short.train, 1, seed=0, epoch=3))
    assert str(error.value) == said
    failing = from_iterables(train=lambda epoch: Noisy(epoch, fails_at=4), validation=Noisy, outputs=1)
    with pytest.raises(InvalidInput, match=r"^train of iterables: batch 4 of epoch 0: OSError: disk is gone$"):
        list(batches(failing.train, 1, seed=0, epoch=0))


def never(epoch: int) -> list[Any]:
    raise KeyError("no such bucket")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"train": [1, 2]}, "train is of type list; give a function of the epoch"),
        ({"train": never}, "train of iterables: epoch 0 cannot be begun: KeyError: 'no such bucket'"),
        ({"train": lambda epoch: [(1, 2, 3)]}, "train of iterables: batch 0: a batch is a tuple of 3"),
        ({"train": lambda epoch: []}, "epoch 0 ended after 0 of 1 batches"),
        ({"steps": 0}, "steps of train=0"),
        ({"examples": {"trian": 4}}, "examples has 'trian', which is no split; did you mean train"),
    ],
)
def test_what_is_no_loader_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        from_iterables(**{"train": Noisy, "validation": Noisy, "outputs": 1, **given})


def test_parts_are_called_as_their_functions_are_where_configurations_make_partials_of_them():
    def pairs(epoch: int, classes: int = 3) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return [(torch.rand(4, 2), torch.randint(0, classes, (4,)))]

    data = from_iterables(train=partial(pairs, classes=2), validation=pairs, num_classes=3)
    assert data.train.origin.endswith("pairs")
    assert data.validation.origin == data.train.origin
