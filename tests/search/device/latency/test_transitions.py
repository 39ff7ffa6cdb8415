"""Transitions: what two blocks take together, less what each takes alone."""

from __future__ import annotations

import numpy as np
import pytest

from search.device.latency.transitions import Transition, transition_sums

NAMES = ["stem", "block", "head"]
ENCODED = np.array([[8], [16], [16]])
TIMES = np.array([[1.0, 1.0, 1.0], [2.0, 4.0, 0.0], [0.5, 0.5, 0.5]])  # the last Arch has no block


def totals(stem_block: float, block_head: float) -> list[float]:
    transitions = {
        ("stem", "block"): Transition((0,), {(8,): stem_block}),
        ("block", "head"): Transition((), {(): block_head}),
    }
    result: list[float] = transition_sums(transitions, NAMES, TIMES, ENCODED).tolist()
    return result


def test_sums_over_neighbors() -> None:
    """Where neighbors were not timed together, as stem and head, the mean of the others counts."""
    assert totals(-0.25, 0.125) == [-0.125, -0.125, 0.125]


@pytest.mark.parametrize("saved", [1.0, 10.0, 1000.0])
def test_two_blocks_take_no_less_than_the_longer_of_them(saved: float) -> None:
    """A noisy measurement may say so; the network would take less than nothing."""
    assert totals(-saved, -saved) == [-1.5, -1.5, -0.5]
    assert np.all(TIMES.sum(axis=0) + totals(-saved, -saved) > 0)
