"""Schedules are functions of the step that end at their final sparsity."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa.errors import InvalidInput
from ofa.prune.schedules import (
    Constant,
    Cosine,
    Cubic,
    Doubling,
    EveryEpoch,
    Geometric,
    Linear,
    OneShot,
    Schedule,
    events,
)
from ofa.prune.times import resolved

TOTAL = 1000
ALL = [
    OneShot(0.9, at=300),
    Constant(0.9),
    Linear(0.9, begin=0, end=1000, every=100),
    Linear(0.9, begin=0.1, end=0.7, every=0.03, initial=0.5),
    Cubic(0.95, begin=100, end=750, every=100),
    Cosine(0.8, begin=0.1, end=1.0, every=7),
    Geometric(0.9, begin=100, every=200, rounds=5),
    EveryEpoch(0.9, steps_per_epoch=100, epochs=8, begin_epoch=1),
    EveryEpoch(0.9, epochs=3),
    Doubling(0.99, begin=10, end=900),
    Doubling(0.9, begin=0.1, end=0.9, first=0.01),
]


@pytest.mark.parametrize("schedule", ALL, ids=str)
def test_every_schedule_rises_to_its_final_sparsity(schedule: Schedule) -> None:
    fitted = resolved(schedule, TOTAL, steps_per_epoch=50)
    found = events(fitted, TOTAL)
    sparsities = [sparsity for _, sparsity in found]
    assert sparsities == sorted(sparsities) and all(0 < sparsity <= schedule.final for sparsity in sparsities)
    assert sparsities[-1] == schedule.final  # the same float, not nearly
    assert events(fitted, TOTAL) == found and events(fitted, 3 * TOTAL) == found
    assert resolved(fitted, TOTAL) == fitted
    assert fitted(-1) is None


FITTING = [
    OneShot(0.9, at=0.3),
    Constant(0.9),
    Linear(0.9, begin=0.1, end=0.7, every=100),
    Cubic(0.9, begin=0.7, end=0.7, every=0.01),
    Cosine(0.8, begin=0.1, end=1.0, every=7),
    Geometric(0.9, begin=0.1, every=0.15, rounds=6),
    EveryEpoch(0.9, epochs=1),
    Doubling(0.9, begin=0.1, end=0.9, first=0.01),
]


@pytest.mark.parametrize("schedule", FITTING, ids=str)
@pytest.mark.parametrize("total", [1, 2, 3, 7, 57, 6000])
def test_fractions_fit_any_training(schedule: Schedule, total: int) -> None:
    sparsities = events(resolved(schedule, total, steps_per_epoch=1), total)
    assert sparsities and sparsities[-1][1] == schedule.final
    assert all(before < after for (_, before), (_, after) in pairwise(sparsities))


def test_rounds_given_as_fractions_are_fewer_in_a_short_training() -> None:
    schedule = Geometric(0.9, begin=0.1, every=0.2, rounds=5)
    assert [step for step, _ in events(resolved(schedule, 100), 100)] == [10, 30, 50, 70, 90]
    short = resolved(schedule, 2)
    assert short == Geometric(0.9, begin=0, every=1, rounds=3) and events(short, 2)[-1] == (2, 0.9)


def test_linear_cubic_and_cosine_follow_their_formulae() -> None:
    for schedule, shape in [
        (Linear(0.8, 100, 300, 10, initial=0.2), lambda t: t),
        (Cubic(0.8, 100, 300, 10, initial=0.2), lambda t: 1 - (1 - t) ** 3),
        (Cosine(0.8, 100, 300, 10, initial=0.2), lambda t: (1 - math.cos(math.pi * t)) / 2),
    ]:
        sparsities = dict(events(schedule, 1000))
        assert list(sparsities) == list(range(100, 301, 10))
        assert sparsities == pytest.approx({step: 0.2 + 0.6 * shape((step - 100) / 200) for step in sparsities})


def test_the_end_is_an_event_where_the_interval_does_not_meet_it() -> None:
    assert [step for step, _ in events(Cubic(0.9, 10, 95, 20), 200)] == [30, 50, 70, 90, 95]
    assert events(Linear(0.9, 5, 5, 1), 10) == [(5, 0.9)]


@settings(deadline=None)
@given(st.floats(0.01, 0.999), st.integers(1, 12))
def test_rounds_keep_equal_shares(final: float, rounds: int) -> None:
    for schedule in (Geometric(final, 3, 7, rounds), EveryEpoch(final, 7, rounds), Doubling(final, 0, 2**rounds - 1)):
        kept = [1.0, *(1 - sparsity for _, sparsity in events(schedule, 2**12))]
        shares = [after / before for before, after in pairwise(kept)]
        assert shares == pytest.approx([shares[0]] * len(shares), rel=1e-6)
        assert len(shares) == (rounds + 1 if isinstance(schedule, Doubling) else rounds)


def test_doubling_intervals_double() -> None:
    assert [step for step, _ in events(Doubling(0.9, 5, 100), 200)] == [5, 6, 8, 12, 20, 36, 68]
    assert [step for step, _ in events(Doubling(0.9, 0, 90, first=30), 200)] == [0, 30, 90]
    assert [step for step, _ in events(Doubling(0.9, 0, 89, first=30), 200)] == [0, 30]
    assert events(Doubling(0.9, 7, 7), 200) == [(7, 0.9)]


def test_epochs_end_with_an_event() -> None:
    assert [step for step, _ in events(EveryEpoch(0.9, 10, epochs=3, begin_epoch=2), 100)] == [30, 40, 50]
    assert [step for step, _ in events(EveryEpoch(0.9, 10, epochs=2), 100)] == [10, 20]


@pytest.mark.parametrize("epochs", range(1, 14))
def test_few_epochs_have_fewer_events_and_reach_the_end(epochs: int) -> None:
    schedule = resolved(EveryEpoch(0.9, epochs=10), 7 * epochs, 7)
    fired = events(schedule, 7 * epochs)

    assert fired[-1][1] == 0.9
    assert len(fired) == min(10, max(1, epochs - 1))
    assert epochs == 1 or fired[-1][0] <= 7 * (epochs - 1)  # an epoch of training comes after the last


def test_they_are_values() -> None:
    assert Cubic(0.9, 0, 10, 1) == Cubic(0.9, 0, 10, 1) != Linear(0.9, 0, 10, 1)
    with pytest.raises(FrozenInstanceError):
        OneShot(0.9).final = 0.5  # type: ignore[misc]
    assert Cubic(0.9, 1, 10, 2, 0.1) == Cubic(final=0.9, begin=1, end=10, every=2, initial=0.1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: OneShot(1.0), "OneShot: final=1.0 is the fraction removed"),
        (lambda: Constant(float("nan")), "final=nan"),
        (lambda: OneShot(0.9, at=-1), "at=-1 must be steps, 0 or more"),
        (lambda: OneShot(0.9, at=100.0), "at=100.0 must be steps"),
        (lambda: Linear(0.9, 0, 10, 0), "every=0 must be steps, 1 or more"),
        (lambda: Linear(0.9, 0, 10, 0.0), "every=0.0"),
        (lambda: Linear(0.9, 20, 10, 1), "end=10 comes before begin=20"),
        (lambda: Linear(0.9, 0.5, 0.2, 1), "end=0.2 comes before begin=0.5"),
        (lambda: Cubic(0.5, 0, 10, 1, initial=0.6), "initial=0.6 must be between 0 and final=0.5"),
        (lambda: Geometric(0.9, 0, 10, 0), "rounds=0 must be an int of 1 or more"),
        (lambda: EveryEpoch(0.9, 10, epochs=0), "epochs=0"),
        (lambda: EveryEpoch(0.9, 10, begin_epoch=-1), "begin_epoch=-1"),
        (lambda: Doubling(0.9, 0, 10, first=0), "first=0"),
        (lambda: Linear(0.9, 0.1, 0.7, 0.1)(5), "begin=0.1 is not in steps yet"),
        (lambda: EveryEpoch(0.9)(5), "steps_per_epoch=None is not in steps yet"),
        (lambda: resolved(Linear(0.9, 0, 1000, 100), 500), "last event at step 1000, after the last of 500 steps"),
        (lambda: resolved(Geometric(0.9, 0, 100, 7), 500), "last event at step 600"),
        (lambda: resolved(EveryEpoch(0.9, epochs=3, begin_epoch=2), 20, 10), "last event at step 30"),
        (lambda: resolved(OneShot(0.9, 501), 500), "last event at step 501"),
        (lambda: resolved(OneShot(0.9), 0), "total_steps=0"),
    ],
)
def test_what_cannot_be_is_refused(make, words) -> None:
    with pytest.raises(InvalidInput, match=words):
        make()


def test_a_function_of_somebodys_own_needs_no_times() -> None:
    class Mine:
        final = 0.5

        def __call__(self, step: int) -> float | None:
            return 0.5 if step == 3 else None

    mine = Mine()
    assert resolved(mine, 10) is mine and events(mine, 10) == [(3, 0.5)]
