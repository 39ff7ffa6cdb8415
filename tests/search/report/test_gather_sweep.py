"""From the files of a run's searches to targets and fronts over seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from ofa import InvalidInput
from search.candidates.figures import LATENCY
from search.report.gather_sweep import front_of, gather_sweep
from search.run.paths import RunFolder, SearchFolder
from search.run.stages import Stage, written
from tests.search.report.sweep_run import evaluated, finalist, write_search, write_subnets, write_sweep

PAIR = {"latency_ms@phone": "phone", "latency_ms@slow": "slow"}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "outputs/demo")


def begin_search(run: RunFolder, name: str) -> None:
    """A search that was cut off."""
    stage = Stage("search", run.search(name), {"seed": 0})
    with pytest.raises(RuntimeError, match="cut"), written(stage) as folder:
        SearchFolder(folder).journal.write_text("")
        raise RuntimeError("cut")


def test_searches_that_differ_in_the_seed_alone_belong_together(run: RunFolder) -> None:
    write_sweep(run)
    data = gather_sweep(run)
    first, second = data.targets
    assert (first.search, first.devices, first.seeds) == ("laptop-1-2ms", ("laptop",), (0, 1, 2))
    assert [choice.limits for choice in second.choices] == [{LATENCY: 2.0}] * 3
    assert [choice.validation.value for choice in second.choices] == pytest.approx([0.95, 0.96, 0.97])
    assert [choice.times for choice in second.choices] == [{LATENCY: 1.8 + 0.1 * seed} for seed in range(3)]
    assert (first.distinct, second.distinct) == (1, 3)
    assert {choice.evaluations for choice in first.choices} == {3}  # the refused one is none
    assert data.seeds == (0, 1, 2)
    assert data.searches == ("laptop-1-2ms", "laptop-1-2ms-seed1", "laptop-1-2ms-seed2")
    assert data.devices == ("laptop",)
    assert data.run == "demo"


def test_fronts_are_of_evaluated_trials_by_seed(run: RunFolder) -> None:
    write_sweep(run, seeds=(0, 1))
    (fronts,) = gather_sweep(run).fronts
    assert (fronts.devices, fronts.kind) == (("laptop",), "")
    assert fronts.by_seed == {0: ((0.5, 0.8), (1.8, 0.95)), 1: ((0.6, 0.8), (1.8, 0.96))}
    assert len(fronts.choices) == 4


def test_all_limits_of_a_seed_make_one_front(run: RunFolder) -> None:
    for limit in (1.0, 2.0):
        chosen = [finalist({LATENCY: limit}, 8, 0.9, {LATENCY: limit})]
        write_search(run, 0, chosen, [evaluated(limit / 4, limit)], latency=(limit,))
    data = gather_sweep(run)
    (fronts,) = data.fronts
    assert fronts.by_seed == {0: ((1.0, 0.25), (2.0, 0.5))}
    assert [target.search for target in data.targets] == ["laptop-1ms", "laptop-2ms"]


def test_a_study_of_its_own_name_is_a_kind_of_its_own(run: RunFolder) -> None:
    for study in (None, "evolution"):
        for seed in (0, 1):
            chosen = [finalist({LATENCY: 1.0}, 8, 0.9, {LATENCY: 0.9})]
            write_search(run, seed, chosen, [evaluated(0.9, 0.9)], study=study)
    data = gather_sweep(run)
    assert [(fronts.kind, tuple(fronts.by_seed)) for fronts in data.fronts] == [("", (0, 1)), ("evolution", (0, 1))]
    assert {target.search: target.seeds for target in data.targets} == {"evolution": (0, 1), "laptop": (0, 1)}


def test_fractions_that_came_to_other_limits_are_still_one_target(run: RunFolder) -> None:
    for seed, limit in enumerate((1.0, 1.01)):
        write_search(run, seed, [finalist({LATENCY: limit}, 8, 0.9, {LATENCY: 0.9})], [evaluated(0.9, 0.9)])
    (target,) = gather_sweep(run).targets
    assert [choice.limits[LATENCY] for choice in target.choices] == [1.0, 1.01]


def test_searches_for_several_devices_have_their_own_fronts(run: RunFolder) -> None:
    write_sweep(run, seeds=(0,))
    limits = {"phone": 1.0, "slow": 4.0}
    times = {"latency_ms@phone": 0.9, "latency_ms@slow": 3.5}
    chosen = [finalist({"latency_ms@phone": 1.0, "latency_ms@slow": 4.0}, 8, 0.9, times)]
    name = write_search(run, 5, chosen, [evaluated(0.9, 0.8, "latency_ms@phone")], latency=limits, devices=PAIR)
    assert name == "phone-1ms+slow-4ms-seed5"
    data = gather_sweep(run)
    assert [fronts.devices for fronts in data.fronts] == [("laptop",), ("phone", "slow")]
    assert data.fronts[1].kind == ""
    assert data.fronts[1].by_seed == {5: ((0.8, 0.9),)}
    assert data.targets[-1].search == "phone-1ms+slow-4ms"
    assert data.devices == ("laptop", "phone", "slow")


def test_test_accuracies_are_of_extracted_subnets(run: RunFolder) -> None:
    write_sweep(run, seeds=(0, 1))
    write_subnets(run, "laptop-1-2ms-seed1", [({LATENCY: 2.0}, 0.93), ({LATENCY: 1.0}, 0.88)])
    first, second = gather_sweep(run).targets
    assert [None if choice.test is None else choice.test.value for choice in first.choices] == [None, 0.88]
    assert [None if choice.test is None else choice.test.value for choice in second.choices] == [None, 0.93]


def test_searches_that_are_not_done_are_named_and_left_out(run: RunFolder) -> None:
    write_sweep(run, seeds=(0,))
    begin_search(run, "laptop-seed4")
    data = gather_sweep(run)
    assert data.unfinished == ("laptop-seed4",)
    assert data.seeds == (0,)


def test_a_run_without_a_search_that_is_done_is_refused(run: RunFolder) -> None:
    with pytest.raises(InvalidInput, match="no complete search: run ofa search run=demo first"):
        gather_sweep(run)
    begin_search(run, "laptop")
    with pytest.raises(InvalidInput, match=r"complete search \(laptop not finished\)"):
        gather_sweep(run)


def test_a_damaged_file_is_named(run: RunFolder) -> None:
    write_sweep(run, seeds=(0,))
    SearchFolder(run.search("laptop-1-2ms")).trials.write_text("[{")
    with pytest.raises(InvalidInput, match=r"laptop-1-2ms/trials\.json is damaged"):
        gather_sweep(run)


def test_commands_make_the_page_again(run: RunFolder) -> None:
    write_sweep(run, seeds=(0,))
    command, *_ = gather_sweep(run).commands
    assert command == f"ofa sweep run=demo outputs={run.root.parent}"


def test_a_front_has_what_nothing_beats_in_both() -> None:
    points = [(2.0, 0.5), (1.0, 0.5), (1.0, 0.25), (3.0, 0.75), (2.5, 0.25), (3.0, 0.75)]
    assert front_of(points) == ((1.0, 0.5), (3.0, 0.75))
    assert front_of([]) == ()
