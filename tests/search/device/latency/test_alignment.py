"""What synthetic laws of time say about widths: nothing here depends on how fast the machine is."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from ofa.errors import InvalidInput
from search.device.latency.alignment import Alignment, advise, probe_networks

WIDTHS = [width for width, _, _ in probe_networks()]
Law = Callable[[int], float]


def needs(multiple: int, padding: int = 1, factor: float = 3.0) -> Law:
    """Time that grows with the padded width, and is `factor` times that off the multiple."""
    return lambda width: (0.02 + 0.001 * math.ceil(width / padding) * padding) * (factor if width % multiple else 1.0)


def flat(width: int) -> float:
    return 0.2 + 1e-5 * width


LAWS = {
    "needs 4": (needs(4), 4, 1),
    "needs 8": (needs(8), 8, 1),
    "needs 16": (needs(16, factor=1.3), 16, 1),
    "stairs of 16": (needs(1, 16), 1, 16),
    "stairs of 8": (needs(1, 8), 1, 8),
    "stairs of 4": (needs(1, 4), 1, 4),
    "needs 4, stairs of 16": (needs(4, 16), 4, 16),
    "needs 8, stairs of 16": (needs(8, 16), 8, 16),
    "any": (needs(1), 1, 1),
    "flat": (flat, 1, 1),
}


@pytest.mark.parametrize("law", LAWS)
def test_a_law_is_found_out(law: str) -> None:
    time, needed, stairs = LAWS[law]
    found = advise(WIDTHS, [time(width) for width in WIDTHS])
    assert (found.needed, found.stairs) == (needed, stairs)


@pytest.mark.parametrize("law", LAWS)
def test_noise_of_two_percent_changes_no_need_and_hardly_a_stair(law: str) -> None:
    time, needed, stairs = LAWS[law]
    ms = np.array([time(width) for width in WIDTHS])
    noise = np.random.default_rng(0).normal(0, 0.02, (100, len(WIDTHS)))
    found = [advise(WIDTHS, (ms * (1 + row)).tolist()) for row in noise]
    assert {one.needed for one in found} == {needed}
    # Stairs of 4 raise 33 channels by 4 %, and even a rise that noise hides is a rise: none is said where none is seen.
    wanted = {1, 4} if stairs == 4 else {stairs}
    assert sum(one.stairs in wanted for one in found) >= 90


def test_a_slow_path_of_some_percent_is_none() -> None:
    for factor, needed in ((1.08, 1), (1.2, 4)):
        assert advise(WIDTHS, [needs(4, factor=factor)(width) for width in WIDTHS]).needed == needed


def test_what_costs_no_more_than_the_next_step_is_a_stair_though_dearer_than_what_lies_between() -> None:
    ms = [16.0 * math.ceil(width / 16) for width in WIDTHS]  # 33 channels cost 1.45 times what lies between
    found = advise(WIDTHS, ms)
    assert found.excess[16] > 0.1
    assert (found.needed, found.stairs, str(found)) == (1, 16, "any will do; steps of 16")


def test_excess_and_the_worst_width_are_against_what_lies_between_aligned_ones() -> None:
    time = needs(4)
    found = advise(WIDTHS, [time(width) * (1.5 if width == 97 else 1) for width in WIDTHS])
    assert found.excess == pytest.approx({4: (2 + 2 + 3.5 + 2) / 4, 8: 0, 16: 0})
    assert found.worst == (97, pytest.approx(4.5))
    assert str(found) == "multiples of 4 needed (97 channels cost 4.5x)"


def test_order_does_not_matter() -> None:
    ms = [needs(4, 16)(width) for width in WIDTHS]
    assert advise(WIDTHS[::-1], ms[::-1]) == advise(WIDTHS, ms)


def test_it_goes_through_json() -> None:
    found = advise(WIDTHS, [needs(4, 16)(width) for width in WIDTHS])
    assert Alignment.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"needed": 5}, r"alignment.needed = 5 must be one of 1, 4, 8, 16"),
        ({"needed": True}, r"alignment.needed = True"),
        ({"stairs": None}, r"alignment.stairs = None"),
        ({"excess": {"4": 0.1}}, r"a number for each of 4, 8, 16"),
        ({"excess": {"4": 0.1, "8": "much", "16": 0.0}}, r"a number for each of 4, 8, 16"),
        ({"probes": [[96]]}, r"a list of \[width, ms\]"),
        ({"probes": [[96, None]]}, r"numbers alone"),
        ({"probes": []}, r"no two consecutive multiples of 16"),
        ({"probes": [[96, 0.1], [112, 0.0]]}, r"above 0"),
        ({"probes": [[96.5, 0.1], [96, 0.1], [112, 0.1]]}, r"whole"),
        ({"probes": [[96, 0.1], [96, 0.1], [112, 0.1]]}, r"once"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(change: dict[str, object], part: str) -> None:
    content = copy.deepcopy(advise(WIDTHS, [needs(4)(width) for width in WIDTHS]).to_dict())
    with pytest.raises(InvalidInput, match=part):
        Alignment.from_dict({**content, **change})


def test_an_alignment_is_an_object() -> None:
    with pytest.raises(InvalidInput, match="JSON object"):
        Alignment.from_dict([4])


def test_probes_are_the_same_each_time_and_draw_nothing() -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    probes = probe_networks()
    assert torch.equal(torch.get_rng_state(), state)
    assert {0, 1, 2, 4, 8} <= {width % 16 for width, _, _ in probes}
    for width, net, example in probes:
        assert not net.training
        assert net[0].out_channels == net[2].groups == width  # type: ignore[index]
        out = net(example)
        assert out.shape == example.shape
        assert torch.isfinite(out).all() and (out.abs() > 1e-6).all()
