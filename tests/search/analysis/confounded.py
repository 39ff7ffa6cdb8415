"""Made-up candidates whose start goes with their size: what the size does must not be taken for what the start does."""

from __future__ import annotations

import numpy as np

from search.run.cards import Setting

CHANGE = {"inherit": 0.01, "rewind": 0.01, "fresh": 0.0}  # what each start adds to the accuracy


def confounded(rng: np.random.Generator, count: int, fall: float = 0.0) -> tuple[list[dict[str, Setting]], np.ndarray]:
    """Returns candidates with 8 widths, a start and a sparsity, and their accuracies: large ones mostly inherit.

    `fall` is what sparsity 1 costs those with fresh weights.
    """
    size = rng.random(count)
    candidates: list[dict[str, Setting]] = []
    accuracy = np.zeros(count)
    for number in range(count):
        widths = np.clip((4 * size[number] + rng.normal(0, 0.8, 8)).astype(int), 0, 3)
        start = "inherit" if rng.random() < 0.2 + 0.6 * size[number] else str(rng.choice(["rewind", "fresh"]))
        sparsity = float(rng.random())
        own: dict[str, Setting] = {f"width.{place}": int(width) for place, width in enumerate(widths)}
        candidates.append(own | {"start": start, "sparsity": sparsity})
        lost = fall * sparsity * (start == "fresh")
        accuracy[number] = 0.9 + 0.003 * widths.sum() + CHANGE[start] - lost + rng.normal(0, 0.008)
    return candidates, accuracy
