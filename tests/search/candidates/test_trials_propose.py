"""propose: the Candidate of a trial."""

from __future__ import annotations

import numpy as np
import optuna
import pytest

from ofa.choice import Choice
from ofa.errors import InvalidInput
from ofa.space import Space
from search.candidates.space import CandidateSpace
from search.candidates.trials import distributions, propose, trial_parameters
from tests.search.synthetic import block_space

SPACE = CandidateSpace(block_space(stages=2, blocks=3))


def test_trial_parameters_and_propose_are_inverse() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        candidate = SPACE.sample(rng)
        assert propose(optuna.trial.FixedTrial(trial_parameters(candidate, SPACE)), SPACE) == candidate


def test_only_active_choices_are_suggested() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        trial = study.ask()
        arch = propose(trial, SPACE).arch
        assert SPACE.archs.contains(arch)
        assert trial.params == dict(arch.values)
        assert [key for key in trial.params if not key.startswith("depth")] != []


def test_a_single_value_is_taken_not_suggested() -> None:
    space = CandidateSpace(Space((Choice("width", "stem", (16,)), Choice("width", "head", (8, 16)))))
    trial = optuna.trial.FixedTrial({"width.head": 8})
    assert dict(propose(trial, space).arch.width) == {"head": 8, "stem": 16}
    assert list(distributions(space)) == ["width.head"]
    assert trial_parameters(space.largest, space) == {"width.head": 16}


def test_parameters_of_another_space_are_refused() -> None:
    with pytest.raises(InvalidInput, match="is not a choice of this space"):
        trial_parameters(CandidateSpace(block_space(stages=3)).largest, SPACE)
