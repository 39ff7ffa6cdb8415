"""The analysis of a search: every part from candidates, and nothing said of too few."""

from __future__ import annotations

import numpy as np
import pytest

from search.analysis.analyze import LEAST, Analysis, analyze
from search.analysis.columns import Searched
from search.analysis.together import LEAST as LEAST_TOGETHER
from search.analysis.together import WEIGHTS
from search.run.cards import Setting

SEARCHED = (
    Searched("sparsity", ("prune.sparsity",)),
    Searched("start", ("search.tuning.start",)),
    Searched("schedule", ("prune.schedule",)),
    Searched("initializer", ("initializer",), (("start", ("fresh",)),)),
    Searched("schedule_end", ("prune.schedule.end",), (("schedule", ("cubic",)),)),
)


def made(rng: np.random.Generator, count: int, searched: tuple[Searched, ...] = SEARCHED) -> Analysis:
    """Fresh weights cost 0.1, and sparsity up to 0.3 more where they are pruned at once."""
    archs, settings, accuracy = [], list[dict[str, Setting]](), []
    for _ in range(count):
        own: dict[str, Setting] = {
            "sparsity": float(rng.random()),
            "start": str(rng.choice(["fresh", "inherit"])),
            "schedule": str(rng.choice(["cubic", "one_shot"])),
        }
        own |= {"initializer": str(rng.choice(["built", "lsuv"]))} if own["start"] == "fresh" else {}
        own |= {"schedule_end": float(rng.random())} if own["schedule"] == "cubic" else {}
        lost = 0.1 * (own["start"] == "fresh") + 0.3 * float(own["sparsity"]) * (own["schedule"] == "one_shot")
        archs.append({"width.a": int(rng.integers(4)), "depth.b": int(rng.integers(1, 3))})
        settings.append({name: own[name] for name in own if name in {one.name for one in searched}})
        accuracy.append(0.9 - lost + 0.01 * archs[-1]["width.a"] + float(rng.normal(0, 0.01)))
    return analyze(archs, settings, accuracy, searched, given_up=7)


def test_every_part_says_what_was_planted(rng: np.random.Generator) -> None:
    found = made(rng, 200)
    assert (found.candidates, found.given_up) == (200, 7)
    assert found.decisive is not None and found.decisive.held_out > 0.8
    assert next(iter(found.decisive.mains)) == "schedule"
    assert {*found.decisive.pairs[0][:2]} == {"schedule", "sparsity"}
    assert set(found.effects) == {one.name for one in SEARCHED}
    (start,) = found.effects["start"].differences
    assert start.is_significant and start.mean == pytest.approx(0.1, abs=0.02)
    assert not any(one.is_significant for one in found.effects["initializer"].differences)
    together = found.together
    assert together is not None
    chances = {(one.first, one.second): one.chance for one in together.interactions}
    assert chances["schedule", "sparsity"] < 1e-6
    assert min(chances[WEIGHTS, "schedule"], chances[WEIGHTS, "sparsity"]) > 1e-3
    schedules = [one.effect.differences[0].mean for one in together.within if one.setting == "schedule"]
    assert len(schedules) == 3 and schedules == sorted(schedules)  # the sparser, the more it matters


def test_what_depends_on_a_setting_does_not_hide_it(rng: np.random.Generator) -> None:
    """Whether the end of a schedule counts tells which schedule it is."""
    assert not made(rng, 60).effects["schedule"].not_compared


def test_weights_are_named_by_what_is_searched(rng: np.random.Generator) -> None:
    together = made(rng, 30).together
    assert together is not None
    assert together.weights({"start": "fresh", "initializer": "lsuv", "schedule": "cubic"}) == "fresh, lsuv"
    assert together.weights({"start": "inherit"}) == "inherit"
    assert together.interactions == () and 30 < LEAST_TOGETHER


def test_parts_that_are_not_searched_are_left_out(rng: np.random.Generator) -> None:
    assert made(rng, 30, SEARCHED[:1]).together is None
    two = made(rng, 60, (SEARCHED[1], SEARCHED[2])).together
    assert two is not None and two.within == () and len(two.interactions) == 1
    weights = made(rng, 60, (SEARCHED[0], SEARCHED[3])).together
    assert weights is not None and (weights.start, weights.initializer) == ("", "initializer")


@pytest.mark.parametrize("count", [0, 1, 3, LEAST - 1])
def test_nothing_is_said_of_too_few(rng: np.random.Generator, count: int) -> None:
    found = made(rng, count, SEARCHED if count else ())
    assert found.decisive is None
    assert found.candidates == count
