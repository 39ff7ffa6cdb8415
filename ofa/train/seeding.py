"""Random numbers of a step as functions of (seed, step): any step can be the first after a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch


def step_rng(seed: int, step: int) -> np.random.Generator:
    """Returns the generator that draws the Archs of a step."""
    return np.random.default_rng([seed, step])


@contextmanager
def global_seed_per_step(seed: int, device: torch.device) -> Iterator[Callable[[int], None]]:
    """Yields a function that seeds torch's global generators for a step (dropout draws from no other).

    Afterwards the global generators are as they were.
    """
    on_cuda = device.type == "cuda"

    def reseed(step: int) -> None:
        # A third number keeps these apart from the draws of Archs.
        number = int(np.random.SeedSequence([seed, step, 1]).generate_state(1, np.uint64)[0])
        # Not torch.manual_seed, which visits every kind of device: 0.2 ms a call.
        torch.default_generator.manual_seed(number)
        if on_cuda:
            torch.cuda.manual_seed(number)

    with torch.random.fork_rng(devices=[device] if on_cuda else []):
        yield reseed
