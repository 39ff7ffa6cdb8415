"""Folders of extracted subnets: named after limits, and never silently another search's."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from ofa.errors import InvalidInput
from ofa.records import convert, write_record
from search.candidates.search_files import Finalist, Finalists
from search.networks.folder import check_replaceable, subnet_name
from search.run.cards import SubnetCard
from tests.search.subnets.comparisons import WIDE
from tests.search.subnets.comparisons import found as finalists_of


def found(*limits: float) -> Finalists:
    empty = finalists_of("laptop", {})
    return structs.replace(empty, finalists=tuple(map(finalist, ({"latency_ms": limit} for limit in limits))))


def finalist(target: dict[str, float]) -> Finalist:
    (chosen,) = finalists_of("laptop", {4.0: WIDE}).finalists
    return structs.replace(chosen, target=target)


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
def test_a_folder_is_named_after_the_limits(
    search: str, content: Finalists, target: dict[str, float], name: str
) -> None:
    assert subnet_name(search, content, target) == name


CARD = {
    **dict.fromkeys(("arch_digest", "supernet", "space"), "0" * 16),
    **{"macs": 1, "params": 1, "bytes": 4, "input_shape": [1, 8, 8], "output_shape": [10]},
    **{"activations": 1, "layers": 1, "depthwise_macs": 0, "date_utc": "", "warnings": []},
    **{"files": {}, "rebuild": {}, "onnx": {}, "plain_pytorch": {}, "versions": {}},
}


def test_a_subnet_of_other_limits_is_not_replaced(tmp_path: Path) -> None:
    target = {"latency_ms": 4.0}
    check_replaceable(tmp_path / "laptop-4ms", "laptop-4ms", target)
    limits = {"latency_ms": 4.0, "params": 2e6}
    card = convert({**CARD, "search": "laptop", "limits": limits}, SubnetCard, "a card")
    write_record(tmp_path / "laptop-4ms/card.json", card)
    check_replaceable(tmp_path / "laptop-4ms", "laptop", target)  # its own
    check_replaceable(tmp_path / "laptop-4ms", "laptop-4ms", {"params": 2e6, "latency_ms": 4.0})  # the same limits
    with pytest.raises(InvalidInput, match=r"of the search laptop \(latency_ms=4 ms, params=2000000\): search with st"):
        check_replaceable(tmp_path / "laptop-4ms", "laptop-4ms", target)
