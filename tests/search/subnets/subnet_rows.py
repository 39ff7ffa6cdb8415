"""Made-up rows of extracted subnets."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from search.candidates.search_files import SubnetRow
from tests.search.scored import scores_of

ROW = SubnetRow(
    largest=False,
    folder="subnets/a",
    device="laptop",
    limit_ms=None,
    limits={},
    predicted_ms=None,
    measured_ms=None,
    predicted=None,
    measured=None,
    scores=scores_of(0.99, 0.9876),
    macs=123_000,
    params=4_560,
    bytes=18_240,
    margin=None,
    onnx=None,
    peak_activation_bytes=None,
)


def subnet_row(**changes: Any) -> SubnetRow:
    """Returns `ROW` with some fields changed."""
    return structs.replace(ROW, **changes)
