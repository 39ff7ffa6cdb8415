"""From what a configuration asks to the limits of a search."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ofa.errors import InvalidInput
from search.device.devices import SearchDevice
from search.device.latency.alignment import Alignment
from search.study.tuning import limits_of, space_of
from tests.search.requests import request
from tests.search.synthetic import Oracle, block_space

ORACLE = Oracle(block_space(stages=2, blocks=3))
ONE = {"latency_ms": 0.02}
TWO = {"latency_ms@quick": 0.02, "latency_ms@slow": 0.1}


def settings(*overrides: str) -> Any:
    return request("search", *overrides)


def limits(*overrides: str, errors: dict[str, float] = ONE) -> Any:
    devices: list[Any] = [
        SearchDevice(figure, SimpleNamespace(name=figure, held_out_error=error), {})  # type: ignore[arg-type]
        for figure, error in errors.items()
    ]
    figures = ORACLE.figures if errors is ONE else ORACLE.figures_of_two
    return limits_of(settings(*overrides), devices, ORACLE.space, figures)


def test_one_device_has_a_target_a_limit_and_other_limits_go_with_each() -> None:
    found = limits("latency_ms=[2,1]", "search.limits={params: 1e6}", "search.limits.macs=5e7")
    other = {"params": 1e6, "macs": 5e7}
    assert found.targets == ({**other, "latency_ms": 1.0}, {**other, "latency_ms": 2.0})
    assert found.margin == 0.02
    assert limits("latency_ms=1", "search.margin=0.1").margin == 0.1


def test_a_latency_model_that_says_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"off by 152 % .* measure again .*search\.margin"):
        limits("latency_ms=1", errors={"latency_ms": 1.52})
    assert limits("latency_ms=1", "search.margin=0.3", errors={"latency_ms": 1.52}).margin == 0.3


def test_several_devices_are_one_target_with_margins_of_their_own() -> None:
    asked = ("latency_ms={slow: 4.0, quick: 1.0}", "search.limits={peak_activation_bytes: 2e5}")
    found = limits(*asked, errors=TWO)
    (target,) = found.targets
    assert target == {"peak_activation_bytes": 2e5, "latency_ms@slow": 4.0, "latency_ms@quick": 1.0}
    assert found.margin == TWO
    assert limits(*asked, "search.margin=0.2", errors=TWO).allowed(target)["latency_ms@slow"] == pytest.approx(3.2)
    made = settings(*asked)
    assert made.name == "slow-4ms+quick-1ms"
    assert made.objective_figures == ("latency_ms@slow", "latency_ms@quick")


def test_default_limits_are_fractions_of_the_largest() -> None:
    largest = float(ORACLE.figures([ORACLE.space.largest])["latency_ms"][0])
    found = limits("search.latency_fractions=[0.6,1.0]", "search.limits.bytes=1e6")
    assert [target["latency_ms"] for target in found.targets] == pytest.approx([0.6 * largest, largest], rel=0.01)
    assert all(target["bytes"] == 1e6 for target in found.targets)


@pytest.mark.parametrize("none", ["null", "[]"])
def test_no_fractions_leave_the_other_limits_alone(none: str) -> None:
    found = limits(f"search.latency_fractions={none}", "search.limits.params=1e6")
    assert found.targets == ({"params": 1e6},)
    assert limits(f"search.latency_fractions={none}").targets == ({},)


def test_no_limit_is_invented_where_latency_is_no_objective(capsys: pytest.CaptureFixture[str]) -> None:
    assert limits("search=single", "search.limits.params=1e6").targets == ({"params": 1e6},)
    assert limits("search.objective=[accuracy,params]").targets == ({},)
    assert capsys.readouterr().err.count("no latency limit") == 2
    assert len(limits("search=single").targets) == 3  # the largest would win without


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("search.objective=[accuracy,latency]", "names accuracy and latency, of which at most one"),
        ("search.objective=[params]", "has no metric"),
        ("search.margin=1.5", "search.margin=1.5 must be a number, at least 0 and less than 1, or null"),
        ("search.align=0", "search.align=0 must be a whole number, at least 1"),
        ("search.align=wide", "search.align='wide' must be a whole number"),
        ("search.margin=abc", "search.margin='abc' must be a number, at least 0"),
        ("search.limits.params=0", "params=0 must be a number of params above 0"),
        ("+search.limits.latency_ms=4", "search.limits.latency_ms=4 is not a key of search.limits: give latency_ms=4"),
        ("search.limits=4", "search.limits=4 must be a mapping, with macs and so on"),
        ("latency_ms={quick: [1,2]}", "must give a device one number"),
    ],
)
def test_what_cannot_be_used_is_said(override: str, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        settings(override)
    assert message in str(error.value)


def aligned(*overrides: str, needed: tuple[int | None, ...]) -> set[int]:
    """The widths, of 24, 32 and 48, that are searched for devices of which the profiles need these multiples."""
    devices: list[Any] = [
        SearchDevice(
            f"latency_ms@{index}",
            SimpleNamespace(name=f"device{index}", alignment=each and Alignment(each, 1, {}, ())),  # type: ignore[arg-type]
            {},
        )
        for index, each in enumerate(needed)
    ]
    found = space_of(settings(*overrides), devices, ORACLE.space)
    return {value for choice in found.choices if choice.kind == "width" for value in choice.values}


def test_the_space_is_aligned_as_the_profiles_need_it(capsys: pytest.CaptureFixture[str]) -> None:
    for needed in ((None,), (1,), (8,), (1, None)):
        assert aligned(needed=needed) == {24, 32, 48}
    assert aligned("search.align=1", needed=(16,)) == {24, 32, 48}
    assert capsys.readouterr().err == ""
    assert aligned(needed=(16,)) == {32, 48}
    size = ORACLE.space.aligned(16).size
    assert capsys.readouterr().err == (
        f"search: widths only in multiples of 16 (device0; search.align=1 takes any): "
        f"{size:,} of {ORACLE.space.size:,} subnets\n"
    )


def test_several_devices_are_served_by_the_least_common_multiple() -> None:
    assert aligned(needed=(4, 16, None)) == {32, 48}
    assert aligned(needed=(3, 16)) == {48}


def test_an_alignment_that_is_asked_for_has_the_last_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert aligned("search.align=48", needed=(16, 8)) == {48}
    assert "widths only in multiples of 48: " in capsys.readouterr().err
    assert aligned("search.align=16", needed=(None,)) == {32, 48}
