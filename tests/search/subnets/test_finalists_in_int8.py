"""Finalists that compute in int8, all of their layers or some: timed as they are."""

from __future__ import annotations

from collections.abc import Sequence

from ofa.arch import Arch
from search.candidates.figures import in_int8
from search.candidates.limits import Target
from search.run.cards import Setting
from search.subnets.finalists import choose_finalists, contenders
from tests.search.scored import ACCURACY
from tests.search.study.trial_rows import trial_row
from tests.search.subnets.finalist_rows import METRICS


def test_a_candidate_in_int8_is_timed_by_the_kernels_of_int8() -> None:
    arch = Arch(width={"stem": 24})
    rows = [
        trial_row(1, "evaluated", arch, {"latency_ms": 3.0}, 0.97, settings={"precision": "float32"}),
        trial_row(2, "evaluated", arch, {"latency_ms": 1.0}, 0.96, settings={"precision": "int8"}),
    ]
    asked = list[Sequence[Arch]]()

    def both(archs: Sequence[Arch]) -> dict[str, list[float]]:
        asked.append(archs)
        return {"latency_ms": [3.1] * len(archs), in_int8("latency_ms"): [1.1] * len(archs)}

    quick, any_time = choose_finalists(rows, [{"latency_ms": 2.0}, {"latency_ms": 4.0}], both, METRICS)
    assert (quick.chosen.trial, quick.chosen.measured, quick.chosen.predicted_ms) == (2, {"latency_ms": 1.1}, 1.0)
    assert (any_time.chosen.trial, any_time.chosen.measured) == (1, {"latency_ms": 3.1})
    assert asked == [[arch]]
    measured = {arch: {"latency_ms": 3.1, in_int8("latency_ms"): 1.1}}
    (trial,) = contenders(rows, {"latency_ms": 2.0}, measured, ACCURACY, 2)
    assert trial.trial == 2


def test_a_candidate_with_some_layers_in_int8_is_timed_as_it_is() -> None:
    arch = Arch(width={"stem": 24})
    settings: list[dict[str, Setting]] = [
        {"precision_stem": "float32", "precision_rest": "float32"},
        {"precision_stem": "int8", "precision_rest": "float32"},
        {"precision_stem": "int8", "precision_rest": "int8"},
    ]
    rows = [
        trial_row(number, "evaluated", arch, {"latency_ms": 3.0 - number}, 0.97 - 0.01 * number, settings=each)
        for number, each in enumerate(settings)
    ]
    asked = list[tuple[Arch, tuple[str, ...]]]()

    def both(archs: Sequence[Arch]) -> dict[str, list[float]]:
        return {"latency_ms": [3.1] * len(archs), in_int8("latency_ms"): [0.1] * len(archs)}

    def parted(subnets: Sequence[tuple[Arch, tuple[str, ...]]]) -> list[float]:
        asked.extend(subnets)
        return [2.2 if groups == ("stem",) else 1.2 for _, groups in subnets]

    limits: list[Target] = [{"latency_ms": 2.1}, {"latency_ms": 2.5}, {"latency_ms": 4.0}]
    found = choose_finalists(rows, limits, both, METRICS, measure_mixed=parted)
    assert [(each.chosen.trial, each.chosen.measured["latency_ms"]) for each in found] == [(2, 1.2), (1, 2.2), (0, 3.1)]
    assert sorted(asked) == [(arch, ("stem",)), (arch, ("stem", "rest"))]
    assert [missed.trial for missed in found[0].missed] == [1]
    known = {arch: {"latency_ms": 3.1, in_int8("latency_ms", ("stem",)): 2.2}}
    assert [trial.trial for trial in contenders(rows, {"latency_ms": 2.5}, known, ACCURACY, 3)] == [1]
