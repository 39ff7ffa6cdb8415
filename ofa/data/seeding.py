"""Random numbers as functions of whole numbers, such as (seed, epoch, step)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


def mixed(*numbers: int) -> int:
    """Returns a number of 64 bits that is a mix of the numbers, so that near seeds are unrelated."""
    return int(np.random.SeedSequence(list(numbers)).generate_state(1, np.uint64)[0])


def generator_of(*numbers: int) -> torch.Generator:
    """Returns a CPU generator whose state is a mix of the numbers."""
    return torch.Generator().manual_seed(mixed(*numbers))


def order_of(count: int, seed: int, epoch: int) -> Tensor:
    """Returns the order in which an epoch reads its examples, a permutation (count,) int64."""
    return torch.randperm(count, generator=generator_of(seed, epoch))


@contextmanager
def seeded(*numbers: int) -> Iterator[None]:
    """Seeds the global CPU generators of torch, NumPy and Python in the block; afterwards they are as they were.

    Tensors are computed by one thread in the block, as in the worker processes of a loader: sums of several threads may
    differ in their last bits.
    """
    number = mixed(*numbers)
    threads = torch.get_num_threads()
    torch_state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        if threads != 1:
            torch.set_num_threads(1)
        torch.default_generator.manual_seed(number)  # not torch.manual_seed, which visits every kind of device
        np.random.seed(number % 2**32)
        random.seed(number)
        yield
    finally:
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)
        random.setstate(python_state)
        if threads != 1:
            torch.set_num_threads(threads)
