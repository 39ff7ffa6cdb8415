"""A long tail: classes rarer and rarer in every split, the examples those of the whole set."""

from __future__ import annotations

import pytest
import torch

from ofa.data import Dataset, digits, shapes, synthetic
from ofa.data.contents import contents_of
from ofa.data.long_tail import imbalanced_digits, long_tailed
from ofa.errors import InvalidInput


@pytest.fixture(scope="module")
def data() -> Dataset:
    return imbalanced_digits(least=0.2)


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_fractions_are_a_geometric_series_in_every_split(data: Dataset, part: str) -> None:
    whole = getattr(digits(validation=0.25, test=0.25), part).labels.bincount(minlength=10)
    cut = getattr(data, part).labels.bincount(minlength=10)
    expected = (whole * 0.2 ** (torch.arange(10) / 9)).round()
    assert torch.equal(cut.float(), expected)
    assert cut[0] == whole[0] and cut[9] <= 0.25 * whole[9]


def test_its_examples_are_of_the_whole_set_and_none_is_in_two_splits(data: Dataset) -> None:
    whole = digits(validation=0.25, test=0.25)
    for part in ("train", "validation", "test"):
        known = dict(zip(getattr(whole, part).identities.tolist(), getattr(whole, part).labels.tolist(), strict=True))
        cut = getattr(data, part)
        for identity, label in zip(cut.identities.tolist(), cut.labels.tolist(), strict=True):
            assert known[identity] == label
    assert data.class_names == tuple("0123456789") and data.name == "imbalanced_digits"


def test_a_seed_gives_the_same_cut() -> None:
    first, again, other = (imbalanced_digits(seed=seed) for seed in (0, 0, 1))
    assert contents_of(first).digests == contents_of(again).digests != contents_of(other).digests


def test_all_classes_stay_and_nothing_is_cut_of_one() -> None:
    data = synthetic(samples=80)
    assert long_tailed(data, 1e-6).train.labels.bincount().tolist() == [12, 1, 1, 1]
    assert contents_of(long_tailed(data, 1.0)).digests == contents_of(data).digests


@pytest.mark.parametrize("least", [0, -0.1, 1.5, float("nan"), "much"])
def test_what_is_no_fraction_is_refused(least: object) -> None:
    with pytest.raises(InvalidInput, match="a fraction, above 0 and at most 1"):
        long_tailed(digits(), least)  # type: ignore[arg-type]


def test_masks_have_no_tail() -> None:
    with pytest.raises(InvalidInput, match="not one class label"):
        long_tailed(shapes(samples=20), 0.5)
