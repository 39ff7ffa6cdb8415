"""CandidateSpace: canonical candidates, whoever makes them, and features that tell them apart."""

from __future__ import annotations

import json

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa.choice import Choice
from ofa.errors import InvalidInput
from ofa.space import Space
from search.candidates.parameters import Number, OneOf
from search.candidates.space import Candidate, CandidateSpace
from search.candidates.trials import propose, trial_parameters
from tests.search.synthetic import block_space

ARCHS = block_space(stages=2, blocks=3)
SPACE = CandidateSpace(
    ARCHS,
    (
        OneOf("schedule", ("one_shot", "cubic", "linear")),
        Number("events", 2, 32, whole=True, log=True, when=(("schedule", ("cubic", "linear")),)),
        Number("sparsity", 0.0, 0.98),
    ),
)


@given(seed=st.integers(0, 2**32 - 1))
def test_candidates_are_canonical_whoever_makes_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = SPACE.sample(rng), SPACE.sample(rng)
    for one in (first, SPACE.mutate(first, rng, 0.5), SPACE.crossover(first, second, rng), SPACE.at_level(0.3)):
        assert SPACE.candidate(one.arch, one.values) == one
        assert ("events" in one.values) == (one.values["schedule"] != "one_shot")
        assert Candidate.from_dict(json.loads(json.dumps(one.to_dict()))) == one
        assert propose(optuna.trial.FixedTrial(trial_parameters(one, SPACE)), SPACE) == one


def test_proposals_are_candidates_of_the_space() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(30):
        trial = study.ask()
        candidate = propose(trial, SPACE)
        assert SPACE.candidate(candidate.arch, candidate.values) == candidate
        assert ("events" in trial.params) == ("events" in candidate.values)


def test_every_candidate_comes_once() -> None:
    archs = Space((Choice("depth", "a", (1, 2)), Choice("width", "b", (8, 16), ((("depth.a", 2),),))))
    rounds = Number("rounds", 2, 4, whole=True, when=(("schedule", ("cubic",)),))
    space = CandidateSpace(archs, (OneOf("schedule", ("one_shot", "cubic")), rounds))
    found = list(space.every())
    assert len(found) == len(set(found)) == 3 * (1 + 3)
    assert {space.sample(np.random.default_rng(seed)) for seed in range(200)} == set(found)


def test_without_parameters_a_candidate_is_its_arch() -> None:
    alone = CandidateSpace(ARCHS)
    assert alone.digest == ARCHS.digest
    assert alone.size == ARCHS.size
    assert alone.largest.key == ARCHS.largest.to_json()
    assert SPACE.digest != alone.digest
    assert SPACE.size == float("inf")


def test_features_tell_candidates_apart_and_ignore_what_does_not_count() -> None:
    rng = np.random.default_rng(0)
    drawn = [SPACE.sample(rng) for _ in range(60)]
    features = SPACE.features(drawn)
    assert features.min() >= 0
    assert features.max() <= 1
    assert len(np.unique(features, axis=0)) == len(set(drawn))
    shallow = SPACE.smallest
    active = SPACE.features([shallow])[0]
    choices = sum(len(choice.values) > 1 and choice.key in shallow.arch.values for choice in ARCHS.choices)
    assert active[: -1 - 1 - 3].sum() == choices


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(InvalidInput, match="sparsty: no parameter"):
        SPACE.candidate(ARCHS.largest, {"sparsty": 0.5})
    with pytest.raises(InvalidInput, match="sparsity=2 must be a number"):
        SPACE.candidate(ARCHS.largest, {"sparsity": 2})
    for damaged in (None, [], {"arch": {}, "settings": []}, {"arch": {}, "settings": {"a": [1]}}):
        with pytest.raises(InvalidInput):
            Candidate.from_dict(damaged)
