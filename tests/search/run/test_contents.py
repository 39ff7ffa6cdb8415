"""Which of a run's searches a verb is about."""

from __future__ import annotations

from pathlib import Path

import pytest

from ofa.errors import InvalidInput
from search.run.contents import pick
from search.run.paths import RunFolder

NAMES = ["laptop", "laptop-1ms", "laptop-1ms+phone-4ms", "long", "phone-4ms"]


def test_a_device_has_its_own_searches_and_those_for_several() -> None:
    run = RunFolder(Path("outputs/main"))
    assert pick(NAMES, run) == NAMES
    assert pick(NAMES, run, device="laptop") == ["laptop", "laptop-1ms", "laptop-1ms+phone-4ms"]
    assert pick(NAMES, run, device="phone") == ["laptop-1ms+phone-4ms", "phone-4ms"]
    assert pick(NAMES, run, study="laptop-1ms+phone-4ms") == ["laptop-1ms+phone-4ms"]
    with pytest.raises(InvalidInput, match=r"device=1ms: .* has no such search"):
        pick(NAMES, run, device="1ms")
