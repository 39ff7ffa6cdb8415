"""run_study with several figures and several devices at once; with one, see test_study.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest

from ofa.errors import InvalidInput
from search.candidates.figures import of_candidates
from search.candidates.limits import Limits
from search.samplers import SamplerFactory
from search.study.study import run_study
from tests.search.study.synthetic_plan import ORACLE, SAMPLERS, Counting, plan


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_several_devices_and_figures_at_once(tmp_path: Path, sampler: SamplerFactory) -> None:
    archs = [ORACLE.space.sample(np.random.default_rng(i)) for i in range(200)]
    figures = ORACLE.figures_of_two(archs)
    names = ("latency_ms@quick", "latency_ms@slow", "peak_activation_bytes")
    target = {name: float(np.quantile(figures[name], 0.7)) for name in names}
    margins = {"latency_ms@quick": 0.02, "latency_ms@slow": 0.1}
    evaluate = Counting()
    joint = plan(
        evaluate,
        sampler=sampler,
        evaluations=24,
        figures=of_candidates(ORACLE.figures_of_two),
        limits=Limits((target,), margins),
        objective=["accuracy", "latency_ms", "peak_activation_bytes"],
        latencies=names[:2],
    )
    result = run_study(joint, tmp_path / "j.log")
    assert result.evaluated == len(evaluate.asked) == 24
    found = ORACLE.figures_of_two(evaluate.asked)
    for name, limit in target.items():
        assert (found[name] <= limit * (1 - margins.get(name, 0))).all()
    assert result.study.metric_names == ["accuracy", *names]
    complete = [trial for trial in result.study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    for trial in complete:
        assert trial.values == [
            trial.user_attrs["scores"]["accuracy"]["value"],
            *(trial.user_attrs[name] for name in names),
        ]
        assert len(trial.system_attrs["constraints"]) == 3
    again = run_study(joint, tmp_path / "j.log")
    assert again.evaluated_now == 0
    with pytest.raises(InvalidInput, match="of another objective"):
        run_study(replace(joint, objective=["accuracy", "peak_activation_bytes"]), tmp_path / "j.log")


def test_without_any_latency_the_other_limits_decide(tmp_path: Path) -> None:
    least, most = (float(ORACLE.figures([arch])["params"][0]) for arch in (ORACLE.space.smallest, ORACLE.space.largest))
    evaluate = Counting()
    limit = (least + most) / 2
    alone = plan(evaluate, limits=Limits(({"params": limit},)), objective=["accuracy", "params"], evaluations=30)
    result = run_study(alone, tmp_path / "j.log")
    found = ORACLE.figures(evaluate.asked)["params"]
    assert (found <= limit).all()
    assert found.max() > 0.8 * limit  # the limit is made use of
    assert result.study.metric_names == ["accuracy", "params"]
