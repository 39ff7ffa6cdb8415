"""Measuring on synthetic clocks: nothing here depends on how fast the machine is."""

from __future__ import annotations

import gc
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from ofa.errors import InvalidInput
from ofa.inputs import Example, Inputs
from search.device.measuring import MeasureStep, measure, measure_runs
from search.device.standalone.machine import drift
from search.device.standalone.rounds import SAMPLE_SECONDS
from search.device.timing import Clock, clock_named, disagreement, summarize, verdict

MS = 1e-3


class Machine:
    """A machine whose time only moves when something runs; `slowness` and `noise` say how fast it is."""

    def __init__(self, slowness: Callable[[float], float] = lambda _: 1.0, noise: float = 0.0, seed: int = 0) -> None:
        self.now = 0.0
        self.calls: list[float] = []
        self._slowness, self._noise, self._generator = slowness, noise, np.random.default_rng(seed)
        self.clock = Clock("synthetic", lambda: self.now)

    def run(self, ms: float) -> Callable[[], object]:
        def once() -> object:
            disturbed = 1 + self._noise * self._generator.exponential()
            self.now += ms * MS * self._slowness(self.now) * disturbed
            self.calls.append(ms)
            return None

        return once


def measured(machine: Machine, latencies: list[float], **options: object):
    return measure_runs(
        [machine.run(ms) for ms in latencies],
        machine.run(0.5),
        clock=machine.clock,
        elapsed=machine.clock.seconds,
        **options,
    )


def test_a_quiet_machine_gives_the_true_latencies():
    found = measured(Machine(), [1.0, 0.3, 2.0], visits=8)
    np.testing.assert_allclose(found.ms, [1.0, 0.3, 2.0])
    assert (found.verdict, found.clock) == ("ok", "synthetic")
    assert [timing.visits for timing in found.timings] == [8, 8, 8]


def test_runs_shorter_than_a_clock_reading_are_timed_several_at_once():
    machine = Machine()
    found = measured(machine, [0.002], visits=4, repeats=3)
    np.testing.assert_allclose(found.ms, [0.002])
    least = SAMPLE_SECONDS / (0.002 * MS)
    assert machine.calls.count(0.002) >= 4 * 3 * least


def test_drift_that_the_sentinel_shows_is_divided_out():
    found = measured(Machine(lambda now: 1.0 + 0.5 * now), [1.0, 0.3], visits=40)
    np.testing.assert_allclose(found.timings[0].ms / found.timings[1].ms, 1.0 / 0.3, rtol=0.01)
    assert found.drift > 0.15
    assert found.timings[0].spread_ms < 0.03
    raw_spread = found.timings[0].raw_ms / found.timings[0].ms
    assert 0.9 < raw_spread < 1.1


def test_a_disturbed_machine_takes_more_visits_and_is_called_noisy():
    quiet, busy = measured(Machine(noise=0.01), [1.0] * 4), measured(Machine(noise=5.0), [1.0] * 4)
    assert quiet.verdict == "ok"
    assert busy.verdict == "noisy"
    assert busy.timings[0].visits > quiet.timings[0].visits


def test_spikes_in_a_minority_of_visits_do_not_move_the_result():
    machine = Machine(lambda now: 20.0 if int(now * 40) % 3 == 0 else 1.0)
    found = measured(machine, [1.0, 0.5], visits=40)
    np.testing.assert_allclose(found.ms, [1.0, 0.5], rtol=0.05)


def test_most_runs_of_a_long_network_may_be_interrupted():
    machine = Machine()
    generator = np.random.default_rng(0)

    def interrupted() -> object:
        machine.now += 3 * MS + (5 * MS if generator.random() < 0.7 else 0.0)
        return None

    found = measure_runs([interrupted], machine.run(0.1), clock=machine.clock, elapsed=machine.clock.seconds)
    np.testing.assert_allclose(found.ms, [3.0], rtol=0.01)


def test_the_time_limit_holds_and_some_visits_are_made_in_any_case():
    found = measured(Machine(noise=1.0), [1.0] * 10, visits=1000, seconds=2.0)
    assert found.seconds <= 2.0
    assert 6 < found.timings[0].visits < 1000
    assert measured(Machine(), [1.0], visits=50, seconds=0.0).timings[0].visits == 6


def test_a_measurement_that_is_cut_short_is_noisy_however_well_its_halves_agree():
    quiet = measured(Machine(), [1.0] * 10, visits=40, seconds=60.0)
    crowded = measured(Machine(lambda _: 8.0), [1.0] * 10, visits=40, seconds=1.0)  # others have the processor
    assert (quiet.verdict, quiet.cut_short) == ("ok", False)
    assert crowded.disagreement < 0.02
    assert (crowded.verdict, crowded.cut_short, crowded.sentinel.visits) == ("noisy", True, 6)
    assert measured(Machine(), [1.0], visits=5, seconds=1.0).verdict == "ok"  # as many as were asked for


def test_order_is_shuffled_by_the_seed():
    orders = []
    for seed in (0, 0, 1):
        machine = Machine()
        measured(machine, [1.0, 2.0, 3.0, 4.0], visits=6, repeats=1, seed=seed)
        orders.append(machine.calls)
    assert orders[0] == orders[1] != orders[2]


def test_garbage_collection_is_off_while_timing_and_back_after_a_failure():
    seen = []

    def run() -> object:
        seen.append(gc.isenabled())
        raise RuntimeError("broken")

    machine = Machine()
    with pytest.raises(RuntimeError):
        measure_runs([run], machine.run(1.0), clock=machine.clock)
    assert seen == [False]
    assert gc.isenabled()


def test_progress_counts_up_to_the_visits():
    rows: list[MeasureStep] = []
    measured(Machine(), [1.0], visits=8, progress=lambda row: rows.append(row))
    assert [row.done for row in rows] == list(range(1, 9))
    assert {row.total for row in rows} == {8}
    assert rows[-1].seconds_left == 0.0


@pytest.mark.parametrize(
    ("options", "named"), [({"visits": 3}, "visits=3 must be at least 4"), ({"repeats": -1}, "repeats=-1")]
)
def test_counts_below_one_are_refused(options, named):
    with pytest.raises(InvalidInput, match=named):
        measured(Machine(), [1.0], **options)
    with pytest.raises(InvalidInput, match="networks=0"):
        measured(Machine(), [])


def test_a_clock_that_stands_still_is_refused():
    still = Clock("still", lambda: 0.0)
    with pytest.raises(InvalidInput, match="clock still"):
        measure_runs([lambda: None], lambda: None, clock=still)


def test_drift_ignores_one_disturbed_visit():
    sentinel = np.full(20, 0.5)
    sentinel[7] = 9.0
    np.testing.assert_allclose(drift(sentinel), 1.0)


def test_disagreement_and_verdict():
    same, apart = np.ones((8, 3)), np.ones((8, 3))
    apart[1::2] = 1.1
    assert disagreement(same) == 0.0
    assert disagreement(apart) == pytest.approx(0.1 / 1.05)
    assert [verdict(value) for value in (0.0, 0.02, 0.04, 0.06)] == ["ok", "ok", "more visits", "noisy"]


def test_summary_is_a_low_quantile():
    timing = summarize(np.array([1.0, 2.0, 3.0, 4.0, 100.0]), np.array([2.0, 4.0, 6.0, 8.0, 200.0]))
    assert (timing.ms, timing.raw_ms, timing.median_ms, timing.visits) == (2.0, 4.0, 3.0, 5)


def test_clocks_by_name():
    assert clock_named("cpu").seconds() >= 0
    with pytest.raises(InvalidInput, match="did you mean wall"):
        clock_named("wal")


def test_a_runtime_is_given_a_tensor_where_the_network_takes_one_alone() -> None:
    given: list[object] = []

    class Plain:
        name = "plain"

        def load(self, net: nn.Module, example_input: Example) -> Callable[[], object]:
            given.append(example_input)
            return lambda: None

        def describe(self) -> dict[str, object]:
            return {"name": self.name}

    image, named = torch.ones(1, 3), Inputs(mask=torch.ones(1, 2))
    measure([(nn.Linear(3, 2), Inputs(image))], Plain(), pieces=[(nn.Identity(), named)], visits=4, repeats=1)
    assert given[0] is image and given[1] is named
