"""Finalists: what is measured decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from msgspec import structs

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.records import content_of
from search.candidates.search_files import MeasuredTrial, TrialRow
from search.subnets.finalist_text import file_text
from search.subnets.finalists import choose_finalists, contenders
from tests.search.scored import ACCURACY, LOSS, score
from tests.search.study.trial_rows import trial_row
from tests.search.subnets.finalist_rows import METRICS, ROWS, Bench, row


def test_the_most_accurate_that_measures_within_the_limit_is_taken() -> None:
    bench = Bench({32: 1.1})
    (finalist,) = choose_finalists(ROWS, [{"latency_ms": 4.0}], bench, METRICS)
    assert finalist.chosen.trial == 24
    assert finalist.chosen.measured_ms == 3.0
    assert finalist.margin == pytest.approx(0.25)
    assert [one.trial for one in finalist.missed] == [32]
    assert bench.calls == [[32, 24, 16]]


def test_all_targets_are_measured_together_and_nothing_twice() -> None:
    bench = Bench()
    found = choose_finalists(ROWS, [{"latency_ms": 5.0}, {"latency_ms": 2.0}], bench, METRICS, top=2)
    assert [finalist.chosen.trial for finalist in found] == [40, 16]
    assert bench.calls == [[40, 32, 16, 8]]


def test_the_next_candidates_are_measured_where_all_miss() -> None:
    bench = Bench({32: 1.5, 24: 1.5})
    (finalist,) = choose_finalists(ROWS, [{"latency_ms": 4.0}], bench, METRICS, top=1)
    assert finalist.chosen.trial == 16
    assert bench.calls == [[32], [24], [16]]


def test_spare_is_kept_below_the_limit() -> None:
    (finalist,) = choose_finalists(ROWS, [{"latency_ms": 4.0}], Bench(), METRICS, spare=0.05)
    assert finalist.chosen.trial == 24


def test_other_limits_of_a_target_are_kept() -> None:
    (finalist,) = choose_finalists(ROWS, [{"latency_ms": 5.0, "macs": 20}], Bench(), METRICS)
    assert finalist.chosen.trial == 16


def test_equal_accuracy_prefers_the_quicker() -> None:
    rows = [row(8, 0.9, 2.0), row(16, 0.9, 1.0)]
    (finalist,) = choose_finalists(
        rows, [{"latency_ms": 5.0}], lambda archs: {"latency_ms": [1.0] * len(archs)}, METRICS
    )
    assert finalist.chosen.trial == 16


def test_none_within_the_limit_names_the_nearest() -> None:
    with pytest.raises(InvalidInput, match=r"none of 2 candidates .* trial 8 at 3 ms"):
        choose_finalists(ROWS, [{"latency_ms": 2.0}], Bench(otherwise=3.0), METRICS, top=1)


def test_no_candidate_is_said() -> None:
    with pytest.raises(InvalidInput, match="no evaluated subnet"):
        choose_finalists(ROWS, [{"latency_ms": 0.6}], Bench(), METRICS)


def test_without_a_latency_limit_the_most_accurate_within_the_others_is_measured() -> None:
    bench = Bench()
    found = choose_finalists(ROWS, [{"macs": 30}, {}], bench, METRICS)
    assert [finalist.chosen.trial for finalist in found] == [24, 40]
    assert bench.calls == [[24, 40]]  # these alone
    assert [finalist.margin for finalist in found] == [None, None]
    assert found[0].chosen.measured_ms == 3.0
    with pytest.raises(InvalidInput, match="macs=5 MACs: no evaluated subnet"):
        choose_finalists(ROWS, [{"macs": 5}], bench, METRICS)


NAMES = ("latency_ms@quick", "latency_ms@slow")


def joint_row(width: int, accuracy: float, quick: float, slow: float) -> TrialRow:
    figures = {NAMES[0]: quick, NAMES[1]: slow, "macs": float(width)}
    return trial_row(width, "evaluated", Arch(width={"stem": width}), figures, accuracy)


JOINT = [joint_row(8, 0.9, 1.0, 10.0), joint_row(16, 0.93, 1.1, 18.0), joint_row(24, 0.95, 1.9, 12.0)]


def slower(quick: float, slow: float) -> Callable[[Sequence[Arch]], dict[str, list[float]]]:
    """Measures so much more than was predicted on each of two devices."""
    rows = {row.arch: row.figures for row in JOINT}
    return lambda archs: {
        name: [factor * rows[arch][name] for arch in archs] for name, factor in zip(NAMES, (quick, slow), strict=True)
    }


def test_a_finalist_meets_the_limit_of_every_device() -> None:
    target = dict(zip(NAMES, (2.0, 20.0), strict=True))
    (first,) = choose_finalists(JOINT, [target], slower(1.0, 1.0), METRICS, latencies=NAMES)
    assert first.chosen.trial == 24
    (second,) = choose_finalists(
        JOINT, [target], slower(1.1, 1.0), METRICS, latencies=NAMES, top=1
    )  # 24 misses on quick
    assert second.chosen.trial == 16
    (third,) = choose_finalists(JOINT, [target], slower(1.1, 1.2), METRICS, latencies=NAMES, top=1)  # and 16 on slow
    assert third.chosen.trial == 8
    assert [one.trial for one in third.missed] == [24, 16]
    assert third.margin == pytest.approx(min(1 - 1.1 / 2, 1 - 12 / 20))
    with pytest.raises(InvalidInput, match=r"the nearest is trial 8 at 2.1 ms on quick and 10 ms on slow \(pred"):
        choose_finalists(JOINT, [target], slower(2.1, 1.0), METRICS, latencies=NAMES)


def test_what_is_written_of_several_devices() -> None:
    (finalist,) = choose_finalists(JOINT, [{NAMES[1]: 11.0, "macs": 20.0}], slower(1.1, 1.05), METRICS, latencies=NAMES)
    written = content_of(finalist)
    chosen = written["chosen"]
    assert written["target"] == {NAMES[1]: 11.0, "macs": 20.0}
    assert (chosen["predicted_ms"], chosen["measured_ms"]) == (1.0, pytest.approx(1.1))  # the first device's
    assert chosen["predicted"] == {NAMES[0]: 1.0, NAMES[1]: 10.0}
    assert chosen["measured"] == {NAMES[0]: pytest.approx(1.1), NAMES[1]: pytest.approx(10.5)}
    assert chosen["figures"] == {"macs": 8.0}


def test_a_limit_on_a_device_that_is_not_measured_is_refused() -> None:
    with pytest.raises(InvalidInput, match="latency_ms@other: measured are latency_ms@quick, latency_ms@slow"):
        choose_finalists(JOINT, [{"latency_ms@other": 1.0}], slower(1, 1), METRICS, latencies=NAMES)


def lossy(width: int, loss: float, predicted: float, error: float | None = None) -> TrialRow:
    figures = {"latency_ms": predicted, "macs": float(width)}
    return trial_row(width, "evaluated", Arch(width={"stem": width}), figures, loss, metric=LOSS, error=error)


def at_once(archs: Sequence[Arch]) -> dict[str, list[float]]:
    return {"latency_ms": [1.0] * len(archs)}


def test_of_a_loss_the_least_is_taken() -> None:
    rows = [lossy(8, 900.0, 1.0), lossy(16, 2.5, 2.0), lossy(24, 2.5, 1.5), lossy(32, 0.1, 9.0)]
    (finalist,) = choose_finalists(rows, [{"latency_ms": 4.0}], at_once, (LOSS,))
    assert finalist.chosen.trial == 24
    assert finalist.chosen.score.value == 2.5


def test_candidates_within_two_standard_errors_are_counted() -> None:
    rows = [lossy(8, 1.0, 1.0, 0.1), lossy(16, 1.2, 1.0, 0.1), lossy(24, 1.3, 1.0, 0.1), lossy(32, 1.5, 1.0, None)]
    (finalist,) = choose_finalists(rows, [{}], at_once, (LOSS,))
    assert (finalist.chosen.trial, finalist.alike) == (8, 1)  # 0.2 < 2 sqrt(2) 0.1 < 0.3; of 32 no error is known


def test_limits_on_metrics_are_kept_and_the_nearest_is_named() -> None:
    both = [structs.replace(lossy(width, loss, 1.0), scores={"loss": score(loss, LOSS), "accuracy": score(right)})
            for width, loss, right in ((8, 1.0, 0.80), (16, 2.0, 0.92), (24, 3.0, 0.95))]  # fmt: skip
    metrics = (LOSS, ACCURACY)
    (finalist,) = choose_finalists(both, [{}], at_once, metrics, metric_limits={"accuracy": 0.9})
    assert finalist.chosen.trial == 16
    with pytest.raises(
        InvalidInput, match=r"none of 3 evaluated subnets has accuracy ≥ 99.00 %; the nearest is trial 24"
    ):
        choose_finalists(both, [{}], at_once, metrics, metric_limits={"accuracy": 0.99})


def test_of_those_in_time_the_first_whose_file_is_small_enough_is_taken() -> None:
    rows = [structs.replace(row, figures={**row.figures, "bytes_on_disk": 100.0}) for row in ROWS]
    asked = list[int]()

    def file_bytes(trial: MeasuredTrial) -> int:
        asked.append(trial.trial)
        return 120 if trial.trial == 24 else 95

    targets = [{"latency_ms": 4.0, "bytes_on_disk": 110.0}]
    (finalist,) = choose_finalists(rows, targets, Bench({32: 1.1}), METRICS, file_bytes=file_bytes)
    assert (finalist.chosen.trial, finalist.chosen.file_bytes) == (16, 95)
    assert [one.trial for one in finalist.missed] == [32, 24]
    assert asked == [24, 16]  # 32 measured above its limit
    measured = {row.arch: {"latency_ms": row.figures["latency_ms"]} for row in rows if row.arch}
    contending = contenders(rows[:5], targets[0], measured, ACCURACY, 2, file_bytes)
    assert [trial.trial for trial in contending] == [32, 16]
    assert file_text(finalist.chosen) == ", 95 bytes on disk (100 predicted)"
    with pytest.raises(InvalidInput, match=r"none of 4 candidates measured within it.* and 120 bytes on disk"):
        sizes = {8: 130, 16: 130, 24: 130, 32: 120}
        limits = [{"bytes_on_disk": 110.0}]
        choose_finalists(rows[:4], limits, Bench(), METRICS, file_bytes=lambda trial: sizes[trial.trial])
