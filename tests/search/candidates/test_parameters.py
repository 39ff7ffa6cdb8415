"""Parameters: drawn, changed and checked within their range; what cannot be is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa.errors import InvalidInput
from search.candidates.parameters import Number, OneOf, Parameter, check_parameters, is_active
from search.candidates.trials import suggest

PARAMETERS: list[Parameter] = [
    OneOf("schedule", ("one_shot", "cubic")),
    OneOf("bits", (4, 8)),
    OneOf("distill", (True, False)),
    Number("sparsity", 0.0, 0.98),
    Number("rate", 1e-4, 1.0, log=True),
    Number("epochs", 1, 9, whole=True),
    Number("events", 2, 64, whole=True, log=True, start=8),
]


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda one: one.name)
@given(seed=st.integers(0, 2**32 - 1))
def test_whatever_makes_a_value_makes_a_valid_one(parameter: Parameter, seed: int) -> None:
    rng = np.random.default_rng(seed)
    value = parameter.sample(rng)
    changed = parameter.mutate(value, rng)
    proposed = suggest(optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask(), parameter)
    for one in (value, changed, parameter.default, parameter.check(proposed)):
        assert parameter.check(one) == one
        assert type(parameter.check(one)) is type(one)
        assert all(0 <= share <= 1 for share in parameter.encode(one))
    assert len(parameter.encode(None)) == len(parameter.encode(value))


def test_numbers_are_drawn_on_their_scale() -> None:
    rng = np.random.default_rng(0)
    drawn = [float(Number("rate", 1e-4, 1.0, log=True).sample(rng)) for _ in range(400)]
    assert 0.4 < np.mean(np.array(drawn) < 1e-2) < 0.6
    assert {Number("epochs", 1, 4, whole=True).sample(rng) for _ in range(100)} == {1, 2, 3, 4}
    assert Number("x", 0, 1).default == 0.5
    assert Number("rate", 1e-4, 1.0, log=True).default == 0.01


def test_a_condition_is_on_values_that_were_taken() -> None:
    events = Number("events", 1, 8, whole=True, when=(("schedule", ("cubic", "linear")),))
    assert is_active(events, {"schedule": "cubic"})
    assert not is_active(events, {"schedule": "one_shot"})
    assert not is_active(events, {})


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: OneOf("a", ()), "a: values [] must be distinct"),
        (lambda: OneOf("a", (1, 1)), "a: values [1, 1] must be distinct"),
        (lambda: Number("a", 2, 1), "a: 2 to 1 must rise"),
        (lambda: Number("a", 0, 1, log=True), "a: 0 to 1 must rise, and lie above 0"),
        (lambda: Number("a", 0.5, 4, whole=True), "a: 0.5 to 4 must be whole numbers"),
        (lambda: Number("a", 1, 4, start=5), "its start 5 is not in 1 to 4"),
        (lambda: OneOf("a", (1, 2)).check(3), "a=3: choices: 1, 2"),
        (lambda: Number("a", 1, 4, whole=True).check(1.5), "a=1.5 must be a whole number from 1 to 4"),
        (lambda: Number("a", 1, 4).check("x"), "a='x' must be a number from 1 to 4"),
        (lambda: check_parameters([OneOf("a", (1,)), OneOf("a", (1,))]), "'a': names must be distinct"),
        (lambda: check_parameters([OneOf("a.b", (1,))]), "without dots"),
        (lambda: check_parameters([Number("n", 0, 1, when=(("a", (1,)),))]), "no earlier choice; there is none"),
        (lambda: check_parameters([OneOf("a", (1, 2)), OneOf("b", (1,), (("a", (3,)),))]), "a=3: choices: 1, 2"),
    ],
)
def test_what_cannot_be_is_refused_by_name(make: Any, named: str) -> None:
    with pytest.raises(InvalidInput) as error:
        make()
    assert named in str(error.value)
