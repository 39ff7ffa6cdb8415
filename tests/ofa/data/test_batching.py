"""Batches: every image once an epoch, the same bits from any step on, decoded ahead or not."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from ofa.data import Dataset, Preprocessing, Split, batches, steps_per_epoch, synthetic
from ofa.data.augment import compose, cutout, horizontal_flip, random_shift
from ofa.errors import InvalidInput

AUGMENT = partial(compose, steps=[partial(random_shift, pixels=2), horizontal_flip, partial(cutout, size=3)])


class Decoded:
    """A source that is not a Tensor, and counts what it decodes."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels
        self.decoded = 0

    @property
    def shape(self) -> tuple[int, int, int, int]:
        count, channels, height, width = self.pixels.shape
        return count, channels, height, width

    def take(self, rows: Tensor) -> Tensor:
        self.decoded += len(rows)
        return self.pixels[rows]


@pytest.fixture(scope="module")
def data() -> Dataset:
    return synthetic(image_size=8, channels=2, num_classes=3, samples=100)


def numbered(count: int) -> Split:
    """Returns a split whose images hold their row number, and whose labels are it."""
    pixels = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 1, 2, 2)
    return Split(pixels, torch.arange(count), Preprocessing(1.0, (0.0,), (1.0,)))


def test_every_image_comes_once_with_its_label() -> None:
    epoch = list(batches(numbered(50), 8, seed=3, epoch=0, drop_last=False))
    assert [len(labels) for _, labels in epoch] == [8] * 6 + [2]
    images, labels = torch.cat([images for images, _ in epoch]), torch.cat([labels for _, labels in epoch])
    assert labels.sort().values.tolist() == list(range(50))
    assert torch.equal(images[:, 0, 0, 0].long(), labels)
    assert labels.tolist() != list(range(50))


def test_an_incomplete_batch_is_left_out_unless_it_is_the_only_one() -> None:
    for count, batch_size, drop_last, steps in [
        (50, 8, True, 6),
        (50, 8, False, 7),
        (48, 8, False, 6),
        (5, 8, True, 1),
    ]:
        split = numbered(count)
        assert steps_per_epoch(split, batch_size, drop_last=drop_last) == steps
        assert len(list(batches(split, batch_size, seed=0, epoch=0, drop_last=drop_last))) == steps


def test_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return torch.cat([labels for _, labels in batches(numbered(40), 4, seed=seed, epoch=epoch)]).tolist()

    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


@pytest.mark.parametrize("start", [0, 1, 5, 6])
def test_starting_at_a_step_gives_the_same_bits(data: Dataset, start: int) -> None:
    arguments = {"seed": 7, "epoch": 3, "augment": AUGMENT}
    whole = list(batches(data.train, 10, **arguments))
    rest = list(batches(data.train, 10, start=start, **arguments))
    assert len(whole) == 6 and len(rest) == 6 - start
    for (images, labels), (same_images, same_labels) in zip(whole[start:], rest, strict=True):
        assert torch.equal(images, same_images) and torch.equal(labels, same_labels)


def test_augmentation_differs_between_steps_and_epochs() -> None:
    split = Split(torch.rand(1, 1, 9, 9).expand(64, 1, 9, 9), torch.zeros(64).long(), Preprocessing(1, (0,), (1,)))
    shift = partial(random_shift, pixels=4)
    drawn = [images for epoch in (0, 1) for images, _ in batches(split, 32, seed=0, epoch=epoch, augment=shift)]
    assert all(not torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])


def test_batches_are_normalized_after_augmentation(data: Dataset) -> None:
    black = partial(cutout, size=100)
    images, _ = next(batches(data.train, 4, seed=0, epoch=0, augment=black))
    mean, std = data.preprocessing["mean"], data.preprocessing["std"]
    expected = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)])
    torch.testing.assert_close(images.amax((0, 2, 3)), expected)
    torch.testing.assert_close(images.amin((0, 2, 3)), expected)


def test_a_source_that_decodes_gives_the_same_and_decodes_nothing_before_the_start(data: Dataset) -> None:
    assert isinstance(data.train.pixels, Tensor)
    source = Decoded(data.train.pixels)
    streamed = Split(source, data.train.labels, data.train.preprocessing)
    arguments = {"seed": 1, "epoch": 0, "start": 2, "augment": AUGMENT}
    for (a, b), (c, d) in zip(batches(data.train, 8, **arguments), batches(streamed, 8, **arguments), strict=True):
        assert torch.equal(a, c) and torch.equal(b, d)
    assert source.decoded == 8 * (steps_per_epoch(streamed, 8) - 2)


def test_leaving_a_streamed_epoch_early_stops_decoding() -> None:
    source = Decoded(torch.zeros(800, 1, 2, 2, dtype=torch.uint8))
    split = Split(source, torch.zeros(800).long(), Preprocessing(1, (0,), (1,)))
    loader = batches(split, 8, seed=0, epoch=0)
    next(loader)
    loader.close()  # type: ignore[attr-defined]
    assert source.decoded <= 8 * 8


def test_an_error_in_decoding_reaches_the_caller() -> None:
    class Broken(Decoded):
        def take(self, rows: Tensor) -> Tensor:
            raise InvalidInput("row 3: not a readable image")

    split = Split(Broken(torch.zeros(16, 1, 2, 2)), torch.zeros(16).long(), Preprocessing(1, (0,), (1,)))
    with pytest.raises(InvalidInput, match="row 3"):
        list(batches(split, 8, seed=0, epoch=0))


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"seed": -1}, {"epoch": -1}, {"start": -1}])
def test_wrong_numbers_are_refused_at_the_call(data: Dataset, wrong: dict[str, int]) -> None:
    arguments = {"batch_size": 4, "seed": 0, "epoch": 0} | wrong
    with pytest.raises(InvalidInput, match=f"{next(iter(wrong))}={next(iter(wrong.values()))}"):
        batches(data.train, **arguments)


@pytest.mark.gpu
def test_batches_on_a_device_are_those_of_the_processor(data: Dataset) -> None:
    arguments = {"seed": 1, "epoch": 0, "augment": AUGMENT}
    here = list(batches(data.train, 8, **arguments))
    for split in (data.train, data.train.to("cuda")):
        for (images, labels), (there, numbers) in zip(here, batches(split, 8, device="cuda", **arguments), strict=True):
            torch.testing.assert_close(images, there.cpu())
            assert torch.equal(labels, numbers.cpu())
