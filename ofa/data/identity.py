"""Identities of samples: 64 bits of their content, independent of names and locations."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # of SplitMix64 (Steele, Lea and Flood 2014)
_STEP = 0x9E3779B97F4A7C15


def identity_of(content: bytes | memoryview) -> int:
    """Returns a signed 64-bit number that differs between contents (one chance in 2**64 that two agree)."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True)


def identities_of(pixels: Tensor) -> Tensor:
    """Returns the identity of each image of `pixels` (N, ...), from its bytes, as (N,) int64."""
    values = pixels.detach().cpu().contiguous()
    rows = values.reshape(len(values), -1).view(torch.uint8).numpy()
    return torch.tensor([identity_of(row.data) for row in rows], dtype=torch.int64)


def uniform(identities: Tensor, seed: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Returns a number in [0, 1) for each identity (N,): a function of it and of `seed`, and of nothing else."""
    offset = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
    mixed = identities.cpu().numpy().view(np.uint64) ^ offset
    with np.errstate(over="ignore"):
        mixed = mixed + np.uint64(_STEP)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(_MULTIPLIERS[0])
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(_MULTIPLIERS[1])
        mixed = mixed ^ (mixed >> np.uint64(31))
    fractions: np.ndarray[tuple[int], np.dtype[np.float64]] = (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return fractions
