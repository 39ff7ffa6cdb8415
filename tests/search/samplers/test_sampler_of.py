"""Samplers of Optuna by their own signature, of OptunaHub, and a user's: made anew for each step, seeded by it."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna import create_study
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler
from optuna.trial import TrialState

from ofa.errors import InvalidInput
from search.candidates.limits import Limits
from search.candidates.trials import trial_rows
from search.samplers import SamplerContext
from search.samplers.sampler_of import is_seeded, sampler_of
from search.study.journal import open_journal
from search.study.plan import SearchPlan
from search.study.study import load_study, run_study
from search.study.trial_attributes import check_states
from tests.search.scored import ACCURACY, evaluation
from tests.search.synthetic import Oracle, block_space

OPTUNA = ("QMCSampler", "TPESampler", "RandomSampler", "NSGAIISampler", "NSGAIIISampler", "BruteForceSampler")
# With a stand-in for `optunahub`, whose `load_module` gives a module with the class of a sampler.
MINE = """
from optuna.samplers import BaseSampler, RandomSampler

class Hub(RandomSampler):
    def __init__(self, *, seed=None):
        super().__init__(seed)

def with_context(context, *, population=50):
    return RandomSampler(seed=context.step_seed)

def instance(population=50):
    return RandomSampler(seed=population)

def nothing():
    return 3

def other_module():
    import sys
    return sys

def load_module(package):
    import sys
    return sys.modules[__name__]
"""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "hub_of_mine.py").write_text(MINE)
    (tmp_path / "raising_of_mine.py").write_text(RAISING)
    monkeypatch.syspath_prepend(tmp_path)
    yield "hub_of_mine"
    for name in ("hub_of_mine", "raising_of_mine"):
        sys.modules.pop(name, None)


ORACLE = Oracle(block_space(stages=2, blocks=2))


RAISING = """
from optuna.samplers import RandomSampler

class Raising(RandomSampler):
    def sample_independent(self, *_):
        raise ValueError("one objective alone")
"""


def context(seed: int = 0, step: int = 0) -> SamplerContext:
    return SamplerContext(ORACLE.candidates, ORACLE.candidate_figures, Limits(), seed, step)


def found(config: dict[str, Any], place: Path, *, seed: int = 0, stops: int = 0) -> list[dict[str, Any]]:
    """The Archs of a search with a sampler; with `stops` it is cut off after so many and goes on."""
    rows: list[dict[str, Any]] = []
    for evaluations in [stops, 12] if stops else [12]:
        plan = SearchPlan(
            name="s",
            space=ORACLE.candidates,
            figures=ORACLE.candidate_figures,
            evaluate=lambda candidate: evaluation(ORACLE.accuracy(candidate.arch), 0.0),
            evaluations=evaluations,
            metrics=(ACCURACY,),
            sampler=sampler_of(config),
            seed=seed,
        )
        study = run_study(plan, place).study
        rows = [row.arch.to_dict() for row in trial_rows(study)]
    return rows


@pytest.mark.parametrize("name", OPTUNA)
def test_samplers_of_optuna_take_their_own_arguments_and_our_seed(name: str, tmp_path: Path) -> None:
    config = {"_target_": f"optuna.samplers.{name}"} | ({"scramble": True} if name == "QMCSampler" else {})
    first = found(config, tmp_path / "a")
    assert is_seeded(config)
    assert first == found(config, tmp_path / "b", stops=6)
    assert first != found(config, tmp_path / "c", seed=1)


def test_arguments_of_its_own_and_a_sampler_in_a_sampler() -> None:
    made = sampler_of({"_target_": "optuna.samplers.QMCSampler", "qmc_type": "halton"})(context())
    assert isinstance(made, QMCSampler) and made._qmc_type == "halton"
    inner = {"_target_": "optuna.samplers.RandomSampler"}
    config = {"_target_": "optuna.samplers.PartialFixedSampler", "fixed_params": {"a": 1}, "base_sampler": inner}
    assert is_seeded(config)
    draws = [sampler_of(config)(context(step=step))._base_sampler._rng.rng.randint(1 << 30) for step in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    partial = {"_target_": "optuna.samplers.QMCSampler", "_partial_": True}
    assert is_seeded(partial) and isinstance(sampler_of(partial)(context()), QMCSampler)
    grid = {"_target_": "optuna.samplers.GridSampler", "search_space": {"a": [1, 2]}}
    assert isinstance(sampler_of(grid)(context()), BaseSampler)


def test_a_hubs_module_a_class_and_functions_of_the_users(hub: str) -> None:
    module = {"_target_": f"{hub}.load_module", "package": "samplers/mine"}
    assert type(sampler_of(module)(context())).__name__ == "Hub"
    assert type(sampler_of({"_target_": f"{hub}.Hub"})(context())).__name__ == "Hub"
    assert is_seeded(module) and is_seeded({"_target_": f"{hub}.Hub"})
    for more in ({}, {"_partial_": True}, {"population": 3}):
        config = {"_target_": f"{hub}.with_context", **more}
        assert is_seeded(config)
        assert isinstance(sampler_of(config)(context()), RandomSampler)
    assert isinstance(sampler_of({"_target_": f"{hub}.instance", "population": 3})(context()), RandomSampler)
    assert not is_seeded({"_target_": f"{hub}.instance"})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"_target_": "hub_of_mine.nothing"}, "sampler: hub_of_mine.nothing made a int"),
        ({"_target_": "hub_of_mine.other_module"}, "must have one sampler and has none"),
        ({"_target_": "optuna.samplers.TPESampler", "seed": 3}, "sampler.seed=3: a sampler is seeded by seed=..."),
        ({"_target_": "search.samplers.tpe", "colour": 1}, "unexpected keyword argument 'colour'"),
        ("tpe", "sampler='tpe' must be a mapping with _target_"),
        ({}, "must be a mapping with _target_"),
    ],
)
def test_what_is_no_sampler_is_named(config: Any, message: str, hub: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        sampler_of(config)
    assert message in str(refusal.value)


def test_one_that_has_seen_all_that_it_knows_ends_nothing(tmp_path: Path) -> None:
    grid = {one.key: list(one.values)[:1] for one in ORACLE.space.choices}
    assert len(found({"_target_": "optuna.samplers.GridSampler", "search_space": grid}, tmp_path / "a")) >= 12


def test_one_that_cannot_propose_here_is_named(tmp_path: Path, hub: str) -> None:
    with pytest.raises(InvalidInput, match="sampler Raising cannot propose in this search: one objective alone"):
        found({"_target_": "raising_of_mine.Raising"}, tmp_path / "a")


def test_a_pickled_state_in_a_study_is_looked_at_first(tmp_path: Path) -> None:
    class Opens:
        def __reduce__(self) -> Any:
            return (open, (str(tmp_path / "canary"), "w"))

    found({"_target_": "search.samplers.random"}, tmp_path / "a")
    study = load_study(tmp_path / "a", "s")
    text = pickle.dumps(Opens()).hex()
    trial = study.ask()
    for number, part in enumerate((text[:20], text[20:])):
        study._storage.set_trial_system_attr(trial._trial_id, f"cma:optimizer:{number}", part)
    study.tell(trial, state=TrialState.FAIL)
    with pytest.raises(InvalidInput, match=r"trial .*: the state cma:optimizer of a sampler is not loaded \(it calls"):
        found({"_target_": "search.samplers.random"}, tmp_path / "a", stops=13)
    assert not (tmp_path / "canary").exists()


def test_the_state_of_cma_es_is_its_own(tmp_path: Path) -> None:
    cma = pytest.importorskip("cmaes")
    study = create_study(storage=open_journal(tmp_path / "a"), study_name="s")
    text = pickle.dumps(cma.CMA(mean=np.zeros(2), sigma=1.0)).hex()
    study._storage.set_trial_system_attr(study.ask()._trial_id, "cma:optimizer:0", text)
    check_states(study)
