"""Folders of extracted subnets: named after limits, and never silently another search's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ofa.errors import InvalidInput
from ofa.paths import write_json
from search.subnet_names import check_place, subnet_name


def found(*limits: float) -> dict[str, Any]:
    return {"device": "laptop", "finalists": [{"target": {"latency_ms": limit}} for limit in limits]}


@pytest.mark.parametrize(
    ("search", "content", "target", "name"),
    [
        ("laptop", found(1, 2.5), {"latency_ms": 2.5}, "laptop-2.5ms"),
        ("laptop-1-2.5ms", found(2.5, 1), {"latency_ms": 1.0, "params": 9.0}, "laptop-1ms"),
        ("long", found(1), {"latency_ms": 1.0}, "long-1ms"),
        ("laptop-small", found(1), {"latency_ms": 1.0}, "laptop-small-1ms"),  # a name that was given to it
        ("laptop-1-2.5ms-seed3", found(2.5, 1), {"latency_ms": 1.0}, "laptop-1ms-seed3"),
        ("long-seed3", found(1), {"latency_ms": 1.0}, "long-1ms-seed3"),
        ("laptop", found(), {"params": 9.0}, "laptop"),
        ("laptop-1ms+phone-2ms", found(), {"latency_ms@laptop": 1.0, "latency_ms@phone": 2.0}, "laptop-1ms+phone-2ms"),
        ("both", found(), {"latency_ms@laptop": 1.0, "latency_ms@phone": 2.0}, "both"),
    ],
)
def test_a_folder_is_named_after_the_limits(search: str, content: Any, target: dict[str, float], name: str) -> None:
    assert subnet_name(search, content, target) == name


def test_a_subnet_of_other_limits_is_not_replaced(tmp_path: Path) -> None:
    target = {"latency_ms": 4.0}
    check_place(tmp_path / "laptop-4ms", "laptop-4ms", target)
    write_json(tmp_path / "laptop-4ms/card.json", {"search": "laptop", "limits": {"latency_ms": 4.0, "params": 2e6}})
    check_place(tmp_path / "laptop-4ms", "laptop", target)  # its own
    check_place(tmp_path / "laptop-4ms", "laptop-4ms", {"params": 2e6, "latency_ms": 4.0})  # the same limits
    with pytest.raises(InvalidInput, match=r"of the search laptop \(latency_ms=4 ms, params=2000000\): search with st"):
        check_place(tmp_path / "laptop-4ms", "laptop-4ms", target)
