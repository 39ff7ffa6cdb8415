"""Splits by identity: what is added moves nothing, equal samples stay together, and what cannot be is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ofa.data.identity import identities_of, uniform
from ofa.data.splitting import by_identity
from ofa.errors import InvalidInput

CUTS = {"test_fraction": 0.2, "validation_fraction": 0.1}


def samples(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(-(2**62), 2**62, (count,), generator=torch.Generator().manual_seed(seed))


def members(identities: torch.Tensor, labels: torch.Tensor, seed: int = 0) -> dict[str, set[int]]:
    parts = by_identity(identities, labels, CUTS, seed=seed)
    return {part: set(identities[rows].tolist()) for part, rows in parts.items()}


def test_what_is_added_or_taken_away_moves_no_other_sample() -> None:
    identities, labels = samples(600), torch.arange(600) % 3
    few = members(identities[:300], labels[:300])
    shuffled = torch.randperm(600, generator=torch.Generator().manual_seed(1))
    many = members(identities[shuffled], labels[shuffled])
    assert all(few[part] == many[part] & set(identities[:300].tolist()) for part in few)
    assert sum(len(part) for part in many.values()) == 600


def test_equal_samples_are_in_one_part_whatever_their_labels() -> None:
    identities = samples(200).repeat(3)
    parts = members(identities, torch.arange(600) % 2)
    assert not parts["train"] & parts["test_fraction"] and not parts["train"] & parts["validation_fraction"]
    assert sum(len(part) for part in parts.values()) == 200


def test_shares_are_those_asked_for_in_every_class() -> None:
    identities, labels = samples(40_000), torch.arange(40_000) % 4
    parts = by_identity(identities, labels, CUTS, seed=3)
    for label in range(4):
        for part, fraction in {**CUTS, "train": 0.7}.items():
            share = float((labels[parts[part]] == label).float().mean() * len(parts[part]) / 10_000)
            assert abs(share - fraction) < 4 * np.sqrt(fraction * (1 - fraction) / 10_000)


def test_seeds_and_neighboring_identities_are_unrelated() -> None:
    numbers = torch.arange(20_000)
    first, second = uniform(numbers, 0), uniform(numbers, 1)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.03
    assert first.min() >= 0 and first.max() < 1 and abs(first.mean() - 0.5) < 0.01


def test_identity_is_of_the_content_alone() -> None:
    images = torch.arange(2 * 9, dtype=torch.uint8).reshape(2, 1, 3, 3)
    first = identities_of(images)
    assert first[0] != first[1]
    assert torch.equal(identities_of(images.flip(0)), first.flip(0))
    assert torch.equal(identities_of(images.transpose(2, 3).contiguous().transpose(2, 3)), first)
    assert identities_of(images.float()).shape == (2,)


def test_a_class_without_training_samples_is_refused_with_a_seed_that_serves() -> None:
    identities, labels = samples(120), torch.arange(40).repeat_interleave(3)
    faults = []
    for seed in range(8):
        try:
            by_identity(identities, labels, CUTS, seed=seed)
        except InvalidInput as error:
            faults.append(str(error))
    assert faults
    assert "(3 images) has none to train on" in faults[0] and "\n" not in faults[0]
    serves = int(faults[0].split("data.dataset.seed=")[1].split(" ")[0])
    assert len(by_identity(identities, labels, CUTS, seed=serves)["train"].unique()) > 40


def test_a_part_without_samples_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"test_fraction=0\.01 of 3 images leaves none"):
        by_identity(samples(3), torch.tensor([0, 1, 1]), {"test_fraction": 0.01}, seed=0)


def test_images_that_are_all_the_same_are_said_to_be() -> None:
    with pytest.raises(InvalidInput, match="all 60 images are the same"):
        by_identity(torch.full((60,), 7), torch.arange(60) % 2, {"test_fraction": 0.1}, seed=0)
