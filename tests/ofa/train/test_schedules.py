"""Schedules and phases are functions of the step alone."""

from __future__ import annotations

from functools import partial

import pytest

from ofa.arch import Arch
from ofa.choice import Choice
from ofa.errors import InvalidInput
from ofa.space import Space
from ofa.train import OFA_PHASES, Phase, constant, cosine, restarts
from ofa.train.schedules import as_phases, opened, span_at


def test_cosine_rises_then_falls():
    factors = [cosine(step, 100, warmup=0.1) for step in range(100)]
    assert factors[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert factors[10] == 1.0 and factors[55] == pytest.approx(0.5)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert 0 < factors[-1] < 0.001


def test_cosine_ends_where_it_is_told():
    assert cosine(100, 100, final=0.2) == pytest.approx(0.2)
    assert cosine(0, 1, warmup=0.0) == 1.0


def test_restarts_starts_anew_in_each_phase():
    phases = (Phase(0.5), Phase(0.25, learning_rate=0.1), Phase(0.25, learning_rate=0.5))
    schedule = partial(restarts, phases=phases, within=partial(cosine, warmup=0.0))
    factors = [schedule(step, 100) for step in range(100)]
    assert factors[:50] == pytest.approx([cosine(step, 50, warmup=0.0) for step in range(50)])
    assert factors[50] == pytest.approx(0.1) and factors[75] == pytest.approx(0.5)
    assert restarts(60, 100, phases=phases, within=constant) == 0.1


def test_phases_cover_every_step_once():
    for total in (6, 7, 99, 100):
        spans = [span_at(OFA_PHASES, step, total) for step in range(total)]
        assert spans[0].start == 0 and spans[-1].end == total
        assert all(span.start <= step < span.end for step, span in enumerate(spans))
        assert [span.phase for span in spans] == sorted((s.phase for s in spans), key=OFA_PHASES.index)


def test_phases_of_a_config():
    made = as_phases([{"fraction": 0.4, "distill": 0.0}, {"fraction": 0.6, "width": None}])
    assert made == (Phase(0.4, distill=0.0), Phase(0.6, width=None))


@pytest.mark.parametrize(
    ("phases", "words"),
    [
        ([], "must sum to 1"),
        ([{"fraction": 0.5}], r"\(0.5\) must sum to 1"),
        ([{"fraction": 1.0, "widht": 2}], "'widht' is not a field of a phase; did you mean width"),
        ([{"fraction": 1.5}], "fraction 1.5"),
        ([{"fraction": 1.0, "depth": 0}], "depth=0"),
        ([{"fraction": 1.0, "subnets": 0}], "subnets=0"),
    ],
)
def test_bad_phases_are_refused(phases, words):
    with pytest.raises(InvalidInput, match=words):
        as_phases(phases)


def test_phases_open_the_largest_values():
    space = Space(
        (
            Choice("depth", "stage", (1, 2, 3)),
            Choice("width", "stem", (8, 16, 24, 32)),
            Choice("kernel_size", "last", (3, 5, 7), active_when=((("depth.stage", 3),),)),
        )
    )
    assert opened(space, Phase(1.0)).size == 1
    assert opened(space, Phase(1.0)).largest == space.largest
    narrow = opened(space, Phase(1.0, depth=None, width=2))
    assert narrow.size == 3 * 2
    assert narrow.smallest == Arch(width={"stem": 24}, depth={"stage": 1})
    assert space.contains(narrow.smallest)
    assert opened(space, Phase(1.0, depth=None, width=None, kernel_size=None)) == space
