"""Where the numbers of a matrix are not zero, and which of a few levels they have: bit by bit, step after step.

A step is a row of the matrix, or a column where it lies turned; its numbers are lanes. Chances come from what was read
before: how full the lane is and lately was, how full the steps were, and what is near: the steps just before, and
those a lag before, which are near in an image whose rows are so long.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ofa.compress.decoding.mixing import UNIT, Counts, Mixer, odds_of
from ofa.compress.decoding.reader import Array
from ofa.compress.decoding.words import WHOLE, Coder

MOST_LANES = 2**15  # so that sums over them are exact
CLASSES = 16  # of how full a lane or step is, compared with all
EDGES = tuple(2.0 ** ((edge - 7.5) / 2) for edge in range(CLASSES - 1))
VALUE_EDGES = EDGES[4:11]
NEAR = 9  # no level, or which eighth of the levels
BOTH = NEAR * NEAR


@dataclass(frozen=True)
class Matrix:
    """How many steps and lanes there are, and the steps from one row of the image to the next; 0: no image."""

    steps: int
    lanes: int
    lag: int


def mask_of(coder: Coder, matrix: Matrix, density: int, known: Array | None) -> Array:
    """Returns where the matrix is not zero, (steps, lanes).

    Args:
        density: how often, of 65536, from 1 to 65535.
        known: the answer, when it is written.
    """
    steps, lanes, lag = matrix.steps, matrix.lanes, matrix.lag
    mean, lag, back = density / WHOLE, lag or 3, max(lag, 3) + 1
    before = np.zeros((back + steps, lanes), np.int64)
    full = np.full(back + steps + 1, mean)
    lane, recent, now = np.full(lanes, 2 * mean), np.full(lanes, mean), mean
    near, fullness, lane_near = Counts(32, mean, 1.0), Counts(CLASSES**2, mean, 1.0), Counts(32 * CLASSES, mean, 1.0)
    mixer = Mixer((0.4, 0.1, 0.3, 0.3, 0.1, 0.1, 0.2, 0.0))
    for step in range(steps):
        at = back + step
        above = before[at - lag] * 4
        if matrix.lag:
            above = above + before[at - lag + 1] * 8 + before[at - lag - 1] * 16
        close = before[at - 1] + before[at - 2] * 2 + above
        far = (full[at - lag - 1] + 2 * full[at - lag] + full[at - lag + 1]) / 4 if matrix.lag else now
        share = lane / (2.0 + step)
        lane_class = np.searchsorted(EDGES, share / mean)
        fuller = lane_class + CLASSES * int(np.searchsorted(EDGES, (0.6 * now + 0.4 * far) / mean))
        both = lane_class * 32 + close
        guesses = np.empty((8, lanes))
        guesses[0], guesses[1] = odds_of(share), odds_of(recent)
        guesses[2], guesses[3] = near.odds(close), fullness.odds(fuller)
        guesses[4], guesses[5] = odds_of(np.array([now])), odds_of(np.array([far]))
        guesses[6], guesses[7] = lane_near.odds(both), UNIT
        chances = mixer.chances(guesses)
        bits = coder.code(chances, None if known is None else known[step])
        mixer.learn(guesses, chances, bits)
        near.add(close, bits)
        fullness.add(fuller, bits)
        lane_near.add(both, bits)
        lane += bits
        recent += (bits - recent) * 0.08
        before[at] = bits
        ones = float(np.count_nonzero(bits))
        full[at] = max(ones, 0.2) / lanes
        now += (max(ones, 0.05) / lanes - now) * 0.35
    return before[back:] > 0


def levels_of(coder: Coder, matrix: Matrix, mask: Array, levels: int, known: Array | None) -> Array:
    """Returns which level each number has that is not zero, step by step, the highest bit first.

    Args:
        mask: (steps, lanes).
        known: the answer, when it is written.
    """
    deep = max(1, (levels - 1).bit_length())
    lanes_full, steps_full = mask.sum(axis=0), mask.sum(axis=1)
    lane_class = np.searchsorted(VALUE_EDGES, (lanes_full + 0.5) * matrix.lanes / (int(lanes_full.sum()) + 0.5))
    step_class = np.searchsorted(VALUE_EDGES, (steps_full + 0.5) * matrix.steps / (int(steps_full.sum()) + 0.5))
    kind_of = lane_class[None, :] * 8 + step_class[:, None]
    lag, back = matrix.lag or 2, max(matrix.lag, 2)
    seen = np.zeros((back + matrix.steps, matrix.lanes), np.int64)
    last, last_but_one = np.zeros(matrix.lanes, np.int64), np.zeros(matrix.lanes, np.int64)
    nodes = 2**deep
    counts = [Counts(nodes * size, 0.5, 0.8) for size in (1, NEAR, BOTH, 64, BOTH)]
    mixer = Mixer((0.5, 0.3, 0.3, 0.2, 0.1, 0.0))
    chosen = np.zeros(int(lanes_full.sum()), np.int64)
    end = 0
    for step in np.flatnonzero(steps_full):
        lanes = np.flatnonzero(mask[step])
        start, end = end, end + len(lanes)
        near = seen[back + step - 1, lanes] * NEAR + seen[back + step - lag, lanes]
        context = (0, last[lanes], near, kind_of[step, lanes], last[lanes] * NEAR + last_but_one[lanes])
        places = np.ones(len(lanes), np.int64)
        for depth in reversed(range(deep)):
            contexts = [places * size + which for size, which in zip((1, NEAR, BOTH, 64, BOTH), context, strict=True)]
            guesses = np.empty((6, len(lanes)))
            for guess, (count, each) in enumerate(zip(counts, contexts, strict=True)):
                guesses[guess] = count.odds(each)
            guesses[5] = UNIT
            chances = mixer.chances(guesses)
            bits = coder.code(chances, None if known is None else known[start:end] >> depth & 1)
            mixer.learn(guesses, chances, bits)
            for count, each in zip(counts, contexts, strict=True):
                count.add(each, bits)
            places = places * 2 + bits
        chosen[start:end] = places - nodes
        last_but_one[lanes] = last[lanes]
        eighth = np.minimum((places - nodes) * 8 // levels, 7)  # damaged words give levels that are none
        last[lanes] = seen[back + step, lanes] = 1 + eighth
    return chosen
