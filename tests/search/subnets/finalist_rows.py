"""Trials whose times are predicted, and a bench that measures them."""

from __future__ import annotations

from collections.abc import Sequence

from ofa.arch import Arch
from search.candidates.search_files import State, TrialRow
from tests.search.scored import ACCURACY
from tests.search.study.trial_rows import trial_row

METRICS = (ACCURACY,)


def row(width: int, accuracy: float | None, predicted: float) -> TrialRow:
    state: State = "evaluated" if accuracy is not None else "infeasible"
    return trial_row(width, state, Arch(width={"stem": width}), {"latency_ms": predicted, "macs": width}, accuracy)


ROWS = [row(8, 0.90, 1.0), row(16, 0.94, 2.0), row(24, 0.96, 3.0), row(32, 0.97, 3.9), row(40, 0.98, 5.0)]
ROWS += [row(48, None, 0.5)]


class Bench:
    """Measures `factor` times what was predicted, and remembers what it was asked."""

    def __init__(self, factor: dict[int, float] | None = None, otherwise: float = 1.0) -> None:
        self.factor, self.otherwise, self.calls = factor or {}, otherwise, list[list[int]]()
        self.predicted = {row.arch: row.figures["latency_ms"] for row in ROWS}

    def __call__(self, archs: Sequence[Arch]) -> dict[str, list[float]]:
        widths = [arch.width["stem"] for arch in archs]
        self.calls.append(widths)
        factors = [self.factor.get(width, self.otherwise) for width in widths]
        return {"latency_ms": [self.predicted[arch] * factor for arch, factor in zip(archs, factors, strict=True)]}
