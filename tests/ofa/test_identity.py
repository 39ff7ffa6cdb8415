"""Settings are told apart by what they do, not by where they are in memory."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from ofa import Arch, InvalidInput
from ofa.identity import as_json, check_same
from ofa.train import OFA_PHASES, Phase, cosine, sandwich


class Tilted:
    def __init__(self, slope: float) -> None:
        self.slope = slope


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (sandwich, cosine),
        (partial(sandwich, random_subnets=1), partial(sandwich, random_subnets=2)),
        (partial(torch.optim.SGD, lr=0.1), partial(torch.optim.SGD, lr=0.2)),
        (OFA_PHASES, OFA_PHASES[:-1]),
        (Phase(1.0), Phase(1.0, subnets=2)),
        (Arch(width={"a": 8}), Arch(width={"a": 16})),
        (Tilted(1.0), Tilted(2.0)),
        (None, 0),
        (0.1, 0.1 + 1e-16 + 1e-16),
    ],
)
def test_differences_are_seen_and_named(first, second):
    check_same(as_json({"it": first}), as_json({"it": first}), "file")
    with pytest.raises(InvalidInput, match="file is of another training: it was"):
        check_same(as_json({"it": first}), as_json({"it": second}), "file")


def test_equal_settings_made_twice_are_equal():
    def make():
        phases = [{"fraction": 1.0, "width": None}]
        return {"strategy": partial(sandwich, random_subnets=2), "phases": phases, "tilted": Tilted(0.5)}

    assert as_json(make()) == as_json(make())


def test_a_setting_that_only_one_side_has_differs():
    with pytest.raises(InvalidInput, match=r"new was null, now 1 \(old differ too\)"):
        check_same({"new": 1}, {"old": 2}, "file")
