"""The benchmark of adapting on its small networks; and that what it adds up is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.adapt import paired, table
from benchmarks.adapting.play import Play, play
from benchmarks.adapting.problems import Problem, small_gpt, small_resnet, small_vit


def made(seed: int, adapted: tuple[float, ...], alone: tuple[float, ...], **times: Any) -> Play:
    seconds = {"dense_seconds": 40.0, "adapt_seconds": 8.0, "finetune_seconds": 2.0, "alone_seconds": 10.0} | times
    finetuned = tuple(score + 0.01 for score in adapted)
    return Play(seed, (1,) * len(adapted), 0.9, (0.1,) * len(adapted), adapted, finetuned, alone, **seconds)


def test_differences_are_paired_and_their_errors_are_over_seeds() -> None:
    plays = [made(0, (0.9, 0.7), (0.92, 0.7)), made(1, (0.8, 0.6), (0.8, 0.66))]
    difference, error = paired([each.adapted for each in plays], [each.alone for each in plays])
    assert difference == pytest.approx(-2.0) and error == pytest.approx(np.std([-1, -3], ddof=1) / np.sqrt(2))
    assert paired([plays[0].adapted], [plays[0].alone])[1] is None
    line = table([(small_resnet(), plays)]).splitlines()[-1]
    assert "| -2.00 ± 1.00 | -1.00 ± 1.00 |" in line and line.endswith("| 8 | 40 | 20 % |")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "epochs", "least"), [(small_resnet, 12, 0.8), (small_vit, 40, 0.5), (small_gpt, 8, 0.2)]
)
def test_adapted_subnets_are_far_better_than_before_and_near_those_alone(
    make: Callable[[], Problem], epochs: int, least: float
) -> None:
    problem = make()
    problem = replace(
        problem, dense=replace(problem.dense, epochs=epochs), adapt=replace(problem.adapt, epochs=max(2, epochs // 6))
    )
    played = play(problem, 0, print)
    assert played.dense > least
    before, adapted, finetuned, alone = (
        float(np.mean(each)) for each in (played.before, played.adapted, played.finetuned, played.alone)
    )
    assert adapted > before + 0.25 * (played.dense - before)
    assert adapted > alone - 0.1 and finetuned > adapted - 0.02
