"""Finalists: what is measured decides."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ofa.arch import Arch
from ofa.errors import InvalidInput
from search.finalists import choose_finalists
from search.trials import TrialRow


def row(width: int, accuracy: float | None, predicted: float) -> TrialRow:
    state = "evaluated" if accuracy is not None else "infeasible"
    return TrialRow(
        width, state, Arch(width={"stem": width}), {"latency_ms": predicted, "macs": width}, accuracy, 0.1, False, ""
    )


ROWS = [row(8, 0.90, 1.0), row(16, 0.94, 2.0), row(24, 0.96, 3.0), row(32, 0.97, 3.9), row(40, 0.98, 5.0)]
ROWS += [row(48, None, 0.5)]


class Bench:
    """Measures `factor` times what was predicted, and remembers what it was asked."""

    def __init__(self, factor: dict[int, float] | None = None, otherwise: float = 1.0) -> None:
        self.factor, self.otherwise, self.calls = factor or {}, otherwise, list[list[int]]()
        self.predicted = {row.arch: row.figures["latency_ms"] for row in ROWS}

    def __call__(self, archs: Sequence[Arch]) -> list[float]:
        widths = [arch.width["stem"] for arch in archs]
        self.calls.append(widths)
        return [
            self.predicted[arch] * self.factor.get(width, self.otherwise)
            for arch, width in zip(archs, widths, strict=True)
        ]


def test_the_most_accurate_that_measures_within_the_limit_is_taken() -> None:
    bench = Bench({32: 1.1})
    (finalist,) = choose_finalists(ROWS, [{"latency_ms": 4.0}], bench)
    assert finalist.chosen.trial == 24
    assert finalist.chosen.measured_ms == 3.0
    assert finalist.margin == pytest.approx(0.25)
    assert [one.trial for one in finalist.missed] == [32]
    assert bench.calls == [[32, 24, 16]]


def test_all_targets_are_measured_together_and_nothing_twice() -> None:
    bench = Bench()
    found = choose_finalists(ROWS, [{"latency_ms": 5.0}, {"latency_ms": 2.0}], bench, top=2)
    assert [finalist.chosen.trial for finalist in found] == [40, 16]
    assert bench.calls == [[40, 32, 16, 8]]


def test_the_next_candidates_are_measured_where_all_miss() -> None:
    bench = Bench({32: 1.5, 24: 1.5})
    (finalist,) = choose_finalists(ROWS, [{"latency_ms": 4.0}], bench, top=1)
    assert finalist.chosen.trial == 16
    assert bench.calls == [[32], [24], [16]]


def test_spare_is_kept_below_the_limit() -> None:
    (finalist,) = choose_finalists(ROWS, [{"latency_ms": 4.0}], Bench(), spare=0.05)
    assert finalist.chosen.trial == 24


def test_other_limits_of_a_target_are_kept() -> None:
    (finalist,) = choose_finalists(ROWS, [{"latency_ms": 5.0, "macs": 20}], Bench())
    assert finalist.chosen.trial == 16


def test_equal_accuracy_prefers_the_quicker() -> None:
    rows = [row(8, 0.9, 2.0), row(16, 0.9, 1.0)]
    (finalist,) = choose_finalists(rows, [{"latency_ms": 5.0}], lambda archs: [1.0] * len(archs))
    assert finalist.chosen.trial == 16


def test_none_within_the_limit_names_the_nearest() -> None:
    with pytest.raises(InvalidInput, match=r"none of 2 candidates .* trial 8 at 3 ms"):
        choose_finalists(ROWS, [{"latency_ms": 2.0}], Bench(otherwise=3.0), top=1)


def test_no_candidate_is_said() -> None:
    with pytest.raises(InvalidInput, match="no evaluated subnet"):
        choose_finalists(ROWS, [{"latency_ms": 0.6}], Bench())


def test_a_target_without_latency_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no latency_ms"):
        choose_finalists(ROWS, [{"macs": 5}], Bench())
