"""Chances of bits out of several guesses, mixed by weights that are learned on the way (Mahoney 2005, PAQ).

Whoever reads has to compute the very numbers that the writer did, on any processor. Therefore everything that is
summed is a whole number below 2^53 in float64, where no order of additions matters, and everything else is one
rounded operation at a time.
"""

from __future__ import annotations

import numpy as np

from ofa.compress.decoding.reader import Array
from ofa.compress.decoding.words import WHOLE

UNIT = 256  # of log odds
LARGEST_ODDS = 3072  # in these
RATE, STRENGTH, RETENTION = 0.3, 60.0, 0.998  # of learning; of what was known before; of what was learned, a step
LARGEST_WEIGHT = 2**20


def _chances_by_odds() -> Array:
    odds = np.arange(-LARGEST_ODDS, LARGEST_ODDS + 1) / UNIT
    chances: Array = np.rint(WHOLE / (1 + np.exp(-odds))).clip(1, WHOLE - 1)
    return chances


def _odds_by_chance() -> Array:
    chances = (np.arange(WHOLE) + 0.5) / WHOLE
    odds: Array = np.rint(np.log(chances / (1 - chances)) * UNIT).clip(-LARGEST_ODDS, LARGEST_ODDS)
    return odds


CHANCES, ODDS = _chances_by_odds(), _odds_by_chance()


def odds_of(fractions: Array) -> Array:
    """Returns log odds, whole numbers of 1/256, of fractions from 0 to 1."""
    odds: Array = ODDS[np.minimum((fractions * WHOLE).astype(np.int64), WHOLE - 1)]
    return odds


class Mixer:
    """Mixes guesses, by weights of 1/65536 that follow the bits (one step of Newton's method, each weight alone)."""

    def __init__(self, weights: tuple[float, ...]) -> None:
        self.weights = np.rint(np.array(weights) * WHOLE)
        self.curvature = np.zeros(len(weights))

    def chances(self, guesses: Array) -> Array:
        """Returns the chances of a 1, of 65536, (N,), of log odds (guesses, N)."""
        odds = np.rint((self.weights @ guesses) / WHOLE).clip(-LARGEST_ODDS, LARGEST_ODDS)
        chances: Array = CHANCES[odds.astype(np.int64) + LARGEST_ODDS]
        return chances

    def learn(self, guesses: Array, chances: Array, bits: Array) -> None:
        """Moves the weights to where the bits would have been likelier."""
        errors = bits * float(WHOLE) - chances
        spread = np.rint(chances * (WHOLE - chances) / WHOLE)
        self.curvature = self.curvature * RETENTION + (guesses * guesses) @ spread / (WHOLE * UNIT * UNIT)
        moved = RATE * ((guesses @ errors) / UNIT) / (STRENGTH + self.curvature)
        self.weights = np.rint(self.weights + moved).clip(-LARGEST_WEIGHT, LARGEST_WEIGHT)


class Counts:
    """How often there was a 1, by context."""

    def __init__(self, contexts: int, fraction: float, strength: float) -> None:
        self.all = np.full(contexts, strength)
        self.ones = np.full(contexts, strength * fraction)

    def odds(self, contexts: Array) -> Array:
        """Returns the log odds of a 1 in each context (N,)."""
        if len(contexts) < len(self.all):
            return odds_of(self.ones[contexts] / self.all[contexts])
        odds: Array = odds_of(self.ones / self.all)[contexts]
        return odds

    def add(self, contexts: Array, bits: Array) -> None:
        """Counts the bits of contexts (N,)."""
        if len(contexts) < len(self.all):
            np.add.at(self.all, contexts, 1)
            np.add.at(self.ones, contexts, bits)
        else:
            self.all += np.bincount(contexts, minlength=len(self.all))
            self.ones += np.bincount(contexts, weights=bits, minlength=len(self.all))
