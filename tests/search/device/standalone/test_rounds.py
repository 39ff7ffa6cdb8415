"""Rounds on synthetic clocks: their order, both clocks, when there are enough, and going on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from search.device.standalone.rounds import (
    WARM_RUNS,
    ClockStands,
    Round,
    RoundRules,
    Visit,
    interrupted_share,
    is_enough,
    measure_rounds,
    round_order,
    seconds_left,
    visit,
)

RULES = RoundRules(visits=8, repeats=3, seconds=1e9, seed=0, judged=2)


class Machine:
    """Two clocks that only move when something runs; the process has a part of the wall's time."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0
        self.calls: list[int] = []

    @property
    def clocks(self) -> tuple[Callable[[], float], Callable[[], float]]:
        return lambda: self.wall, lambda: self.cpu

    def run(self, name: int, ms: float, share: float = 0.5) -> Callable[[], object]:
        def once() -> None:
            self.calls.append(name)
            self.wall += 1e-3 * ms
            self.cpu += 1e-3 * ms * share

        return once

    def measured(self, rules: RoundRules = RULES, **options) -> list[Round]:
        runs = [self.run(0, 1.0), self.run(1, 2.0), self.run(2, 0.5)]
        return measure_rounds(runs, rules, clocks=self.clocks, elapsed=self.clocks[0], **options)


def test_every_visit_reads_both_clocks():
    rounds = Machine().measured()
    assert len(rounds) == 8
    for one in rounds:
        np.testing.assert_allclose(one.times, [[1e-3, 5e-4], [2e-3, 1e-3], [5e-4, 2.5e-4]])


def test_each_clock_has_its_own_fastest_run():
    machine = Machine()
    takes = iter([(0.5, 0.5)] * WARM_RUNS + [(3, 1), (1, 3), (2, 2)])

    def uneven() -> None:
        wall, cpu = next(takes)
        machine.wall += wall
        machine.cpu += cpu

    assert visit(uneven, 3, 1, machine.clocks) == Visit(fastest=[1, 1], least=(1, 3), mean=[2, 2])


class Shared(Machine):
    """A machine on which another process takes every third run's processor for as long as the run itself."""

    def run(self, name: int, ms: float, share: float = 1.0) -> Callable[[], object]:
        runs = super().run(name, ms, share)

        def once() -> None:
            runs()
            if len(self.calls) % 3 == 0:
                self.wall += 1e-3 * ms

        return once


def test_what_others_take_of_the_processor_is_told():
    alone, shared = Machine(), Shared()
    assert [one.interrupted for one in alone.measured()] == [0.0] * 8
    told = [one.interrupted for one in shared.measured()]
    assert all(share is not None and 0.15 < share < 0.35 for share in told)  # a quarter of the wall's time
    np.testing.assert_allclose(next(one.times for one in shared.measured())[0][0], 1e-3)  # the times hold out


def test_a_process_that_waits_tells_nothing():
    waits = Visit([1.0, 0.1], [1.0, 0.1], [1.5, 0.1])  # for a GPU
    coarse = Visit([1.0, 0.0], [1.0, 0.0], [1.0, 0.0])
    assert interrupted_share([waits]) is None
    assert interrupted_share([coarse]) is None
    assert interrupted_share([Visit([1.0, 1.0], [1.0, 1.0], [2.0, 1.0])]) == 0.5
    assert interrupted_share([Visit([1.0, 2.0], [1.0, 1.9], [1.0, 2.0])]) == 0.0


def test_the_order_is_a_function_of_seed_and_round():
    orders = [tuple(round_order(seed, number, 10)) for seed in (0, 1) for number in range(20)]
    assert len(set(orders)) == 40
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert tuple(round_order(1, 3, 10)) == orders[23]


def test_a_run_that_was_cut_off_and_goes_on_is_the_run_that_was_not():
    whole = Machine()
    rounds = whole.measured()
    begun = Machine()

    class Stopped(Exception):
        pass

    kept: list[Round] = []

    def stop(one: Round) -> None:
        kept.append(one)
        if len(kept) == 3:
            raise Stopped

    with pytest.raises(Stopped):
        begun.measured(keep=stop)
    assert kept == rounds[:3]
    rest = Machine()
    gone_on = rest.measured(done=kept)
    np.testing.assert_allclose([one.times for one in gone_on], [one.times for one in rounds])
    a_round = 3 * (WARM_RUNS + RULES.repeats)
    assert rest.calls[-5 * a_round :] == whole.calls[-5 * a_round :]  # in the very order
    assert gone_on[-1].seconds == pytest.approx(rounds[-1].seconds, rel=0.2)  # what came before counts


def test_nothing_runs_where_there_is_enough():
    machine = Machine()
    rounds = machine.measured()
    machine.calls.clear()
    assert machine.measured(done=rounds) == rounds
    assert machine.calls == []


def rounds_of(*walls: float, seconds: float = 1.0) -> list[Round]:
    """Rounds of one network and a sentinel that keeps time, a second each."""
    return [Round([[wall, wall], [1.0, 1.0]], seconds * (index + 1)) for index, wall in enumerate(walls)]


def test_rules_for_enough():
    rules = replace(RULES, judged=1)
    agree, apart = [1.0] * 8, [1.0, 1.2] * 4
    assert is_enough(rounds_of(*agree), rules, 0)
    assert not is_enough(rounds_of(*agree[:7]), rules, 0)
    assert not is_enough(rounds_of(*apart), rules, 0)  # odd and even disagree: more visits
    assert not is_enough(rounds_of(*apart, *apart[:-1]), rules, 0)
    assert is_enough(rounds_of(*apart, *apart), rules, 0)  # twice as many are the most
    short = replace(rules, seconds=6.5)
    assert not is_enough(rounds_of(*apart[:5]), short, 100)  # six in any case
    assert is_enough(rounds_of(*apart[:6]), short, 6.0)  # the next would end after 7
    assert not is_enough(rounds_of(*apart[:6]), replace(rules, seconds=7.0), 6.0)


def test_the_clock_that_decides_may_be_the_process_s():
    rounds = [Round([[1.0, 1.0 + index % 2], [1.0, 1.0]], 1.0) for index in range(8)]
    rules = replace(RULES, judged=1)
    assert is_enough(rounds, rules, 0)
    assert not is_enough(rounds, replace(rules, clock="cpu"), 0)


def test_a_clock_that_decides_and_stands_still_is_refused():
    machine = Machine()
    runs = [machine.run(0, 1.0, share=0.0), machine.run(1, 1.0, share=0.0)]
    options = {"clocks": machine.clocks, "elapsed": machine.clocks[0]}
    (one, *_) = measure_rounds(runs, replace(RULES, judged=1), **options)
    assert one.times[0][1] == 0.0
    with pytest.raises(ClockStands, match="take another"):
        measure_rounds(runs, replace(RULES, judged=1, clock="cpu"), **options)


def test_pauses_are_outside_the_time_limit_and_in_the_time_left(monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr("search.device.standalone.rounds.time.sleep", slept.append)
    left: list[float] = []
    rounds = Machine().measured(pause=2.0, report=lambda _, seconds: left.append(seconds))
    assert slept == [2.0] * 7
    assert rounds[-1].seconds < 1.0
    assert left[0] == pytest.approx(14.0, abs=0.5)
    assert left[-1] == 0.0
    assert seconds_left(4, RULES, 2.0) == pytest.approx(2.0)


def test_temperatures_stand_beside_rounds():
    said = iter(range(40, 60))
    rounds = Machine().measured(thermometer=lambda: float(next(said)))
    assert [one.celsius for one in rounds] == list(range(40, 48))
