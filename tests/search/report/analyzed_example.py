"""A made-up search with settings and its Analysis, and a small one that says little."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from search.report.data import DeviceResult, Trial
from search.report.gather_summary import analysis_of
from search.run.cards import Setting
from tests.search.report.example import draw, example
from tests.search.scored import ACCURACY, score

CONFIG = {
    "search": {
        "parameters": {
            "how_sparse": {"sets": "prune.sparsity"},
            "begin": {"sets": "search.tuning.start"},
            "filling": {"sets": "initializer", "when": {"begin": "fresh"}},
            "plan": {"sets": "prune.schedule"},
            "rate": {"sets": "prune.retraining.learning_rate", "log": True},
        }
    }
}


def analyzed(count: int, given_up: int = 12) -> DeviceResult:
    """Returns a search in which fresh weights cost 0.05 and nothing else does anything."""
    rng = np.random.default_rng(0)
    trials = tuple(_trial(rng, number) for number in range(count))
    return replace(
        example().devices[0], trials=trials, chosen=(), analysis=analysis_of(trials, ACCURACY, CONFIG, given_up)
    )


def _trial(rng: np.random.Generator, number: int) -> Trial:
    settings: dict[str, Setting] = {
        "how_sparse": round(float(rng.random()), 3),
        "begin": str(rng.choice(["fresh", "inherit"])),
        "plan": str(rng.choice(["cubic", "one_shot"])),
        "rate": float(10 ** rng.uniform(-2, 1)),
    }
    settings |= {"filling": str(rng.choice(["built", "lsuv"]))} if settings["begin"] == "fresh" else {}
    accuracy = 0.95 - 0.05 * (settings["begin"] == "fresh") + float(rng.normal(0, 0.005))
    return Trial(number, score(accuracy), 0.1, 1000, 100, draw(rng), True, settings, 400.0)
