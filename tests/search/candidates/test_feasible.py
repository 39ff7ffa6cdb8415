"""Reach: impossible limits are refused at once, and tight ones met."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from ofa.errors import InvalidInput
from search.candidates.feasible import check_reachable, find_unseen, smallest_reachable
from search.candidates.limits import Limits, meets
from tests.search.synthetic import Oracle, block_space

ORACLE = Oracle(block_space(stages=3, blocks=3))
SPACE = ORACLE.space
LEAST = float(ORACLE.figures([SPACE.smallest])["latency_ms"][0])


def test_an_impossible_limit_ends_with_the_smallest_reachable_figure() -> None:
    limits = Limits(({"latency_ms": LEAST * 0.9}, {"latency_ms": 9.0}), 0.05)
    with pytest.raises(InvalidInput, match="cannot be met") as error:
        check_reachable(SPACE, ORACLE.figures, limits)
    message = str(error.value)
    assert f"smallest reachable is {LEAST:.4g} ms" in message
    suggested = float(re.findall(r"ask for latency_ms=([\d.e+-]+)", message)[0])
    check_reachable(SPACE, ORACLE.figures, Limits(({"latency_ms": suggested},), 0.05))  # as printed, it works


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("latency_ms@slow", "ms"),
        ("macs", "MACs"),
        ("params", "params"),
        ("bytes", "bytes"),
        ("peak_activation_bytes", "bytes"),
    ],
)
def test_every_figure_says_what_is_the_smallest_reachable(name: str, unit: str) -> None:
    least = float(ORACLE.figures_of_two([SPACE.smallest])[name][0])
    limits = Limits(({name: 0.9 * least, "latency_ms@quick": 99.0},), {"latency_ms@slow": 0.05})
    with pytest.raises(InvalidInput, match="cannot be met") as error:
        check_reachable(SPACE, ORACLE.figures_of_two, limits)
    (suggested,) = re.findall(rf"ask for {name}=([\d.]+) or more", str(error.value))
    assert f" {unit}; ask for" in str(error.value)
    assert ("margin of 5.0%" in str(error.value)) == (name == "latency_ms@slow")
    check_reachable(SPACE, ORACLE.figures_of_two, Limits(({name: float(suggested)},), {"latency_ms@slow": 0.05}))


def test_the_smallest_arch_need_not_be_the_quickest() -> None:
    def figures(archs: Any) -> dict[str, Any]:
        widths = SPACE.encode(archs)
        return {"latency_ms": 1.0 + (widths == 24).sum(axis=1)}  # a width that the runtime dislikes

    assert figures([SPACE.smallest])["latency_ms"][0] > 1
    least, arch = smallest_reachable(SPACE, figures, "latency_ms")
    assert least == 1.0
    assert 24 not in arch.width.values()
    check_reachable(SPACE, figures, Limits(({"latency_ms": 1.5},)))


def test_limits_that_exclude_each_other_are_refused() -> None:
    def figures(archs: Any) -> dict[str, Any]:
        size = SPACE.encode(archs).sum(axis=1).astype(float)
        return {"macs": size, "params": 2000.0 - size}

    small, large = (figures([arch])["macs"][0] for arch in (SPACE.smallest, SPACE.largest))
    limits = Limits(({"macs": small + 5, "params": 2000.0 - large + 5},))
    with pytest.raises(InvalidInput, match="together"):
        check_reachable(SPACE, figures, limits)


def test_find_unseen_meets_a_tight_limit_and_runs_dry() -> None:
    rng = np.random.default_rng(0)
    allowed = {"latency_ms": LEAST * 1.02}
    seen = {SPACE.smallest}
    for _ in range(3):
        arch = find_unseen(SPACE, ORACLE.figures, allowed, seen, rng)
        assert arch is not None
        assert arch not in seen
        assert meets(ORACLE.figures([arch]), allowed).all()
        seen.add(arch)
    assert find_unseen(SPACE, ORACLE.figures, {"latency_ms": LEAST}, {SPACE.smallest}, rng) is None


def test_a_small_space_is_looked_through_to_its_last() -> None:
    space, rng = block_space(stages=1, blocks=2), np.random.default_rng(0)
    every = list(space.every())
    for last in every[:: len(every) // 7]:
        assert find_unseen(space, Oracle(space).figures, {}, set(every) - {last}, rng, tries=1) == last
