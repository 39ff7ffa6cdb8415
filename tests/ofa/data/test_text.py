"""Generated text is whole numbers with a rule to learn, the same from the same seed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import ofa
from ofa.data import batches, generated_text
from ofa.data.augment import random_shift
from ofa.data.checks import check_data
from ofa.data.contents import contents_of
from ofa.data_file import load_data, save_data


def test_a_text_is_token_ids_and_the_next_token() -> None:
    data = generated_text(vocabulary=8, context=5, samples=100)
    assert data.input_shape == (5,) and data.num_classes == 8
    assert [len(split) for split in (data.train, data.validation, data.test)] == [60, 20, 20]
    ids, labels = data.train.take(torch.arange(3))
    assert ids.dtype == labels.dtype == torch.int64 and ids.shape == (3, 5) and labels.shape == (3,)
    assert torch.equal(data.train.images, data.train.pixels) and data.calibration(4).dtype == torch.int64
    assert int(ids.min()) >= 0 and int(ids.max()) < 8
    ((some, _), *_) = batches(data.train, 16, seed=0, epoch=0)
    assert some.dtype == torch.int64 and some.shape == (16, 5)
    assert check_data(generated_text(samples=200)) == []


def test_the_same_seed_gives_the_same_text() -> None:
    first, again, other = (generated_text(samples=50, seed=seed) for seed in (3, 3, 4))
    assert contents_of(first).digests == contents_of(again).digests != contents_of(other).digests


@pytest.mark.parametrize(("noise", "least", "most"), [(0.0, 0.72, 0.8), (0.4, 0.42, 0.52), (1.0, 0.0, 0.12)])
def test_two_tokens_decide_the_next_as_often_as_said(noise: float, least: float, most: float) -> None:
    data = generated_text(vocabulary=16, context=3, samples=40_000, noise=noise)
    counts = torch.zeros(16, 16, 16)
    train, test = data.train, data.test
    counts.index_put_((train.pixels[:, -2], train.pixels[:, -1], train.labels), torch.ones(len(train)), accumulate=True)
    guess = counts.argmax(dim=2)[test.pixels[:, -2], test.pixels[:, -1]]
    assert least <= float((guess == test.labels).float().mean()) <= most


def test_a_text_is_stored_and_loaded(tmp_path: Path) -> None:
    data = generated_text(samples=50)
    save_data(data, tmp_path / "data.safetensors")
    again = load_data(tmp_path / "data.safetensors")
    assert contents_of(again).digests == contents_of(data).digests
    assert again.train.pixels.dtype == torch.int64 and again.preprocessing == data.preprocessing


def test_an_augmentation_of_text_is_refused() -> None:
    with pytest.raises(ofa.InvalidInput, match="token ids: give augment=null"):
        list(batches(generated_text(samples=50).train, 8, seed=0, epoch=0, augment=random_shift))


@pytest.mark.parametrize(
    "wrong", [{"vocabulary": 3}, {"context": 1}, {"samples": 5}, {"noise": 1.5}, {"validation": 0.5, "test": 0.5}]
)
def test_sizes_that_make_no_text_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ofa.InvalidInput, match=rf"generated_text {next(iter(wrong))}="):
        generated_text(**wrong)  # type: ignore[arg-type]
