"""The table that a run ends with."""

from __future__ import annotations

import io
from typing import Any

from search.app.table import print_table

SIZES = {"macs": 123_000, "params": 4_560, "bytes": 18_240, "accuracy": {"test": 0.9876}}


def printed(*rows: dict[str, Any]) -> list[str]:
    stream = io.StringIO()
    print_table(rows, stream)
    return stream.getvalue().splitlines()[1:-1]


def test_one_device() -> None:
    old = {**SIZES, "limit_ms": 0.25, "measured_ms": 0.2, "folder": "subnets/a"}
    largest = {**SIZES, "limit_ms": None, "measured_ms": 0.8, "folder": None}
    title, _, first, last = printed(old, largest)
    assert title.split() == ["limit", "measured", "test", "accuracy", "MACs", "params", "file"]
    assert first.split() == "0.250 ms 0.200 ms 98.76 % 123 k 4.56 k subnets/a/model.onnx".split()
    assert last.split()[:3] == ["largest", "0.800", "ms"]


def test_several_devices_and_a_limit_of_memory() -> None:
    names = ("latency_ms@phone", "latency_ms@laptop")
    limits = {"latency_ms@laptop": 3.0, "latency_ms@phone": 0.3, "peak_activation_bytes": 2e5}
    one = {**SIZES, "limit_ms": 0.3, "limits": limits, "measured": dict(zip(names, (0.25, 2.5), strict=True))}
    one |= {"folder": "subnets/a", "largest": False, "peak_activation_bytes": 198_000}
    largest = {**SIZES, "limit_ms": None, "limits": None, "measured": dict(zip(names, (0.9, 9.0), strict=True))}
    largest |= {"folder": None, "largest": True, "peak_activation_bytes": 800_000}
    title, _, first, last = printed(one, largest)
    assert title.index("measured on phone") < title.index("measured on laptop") < title.index("activations")
    assert "3.00 ms on laptop, 0.300 ms on phone, 200 kB of activations  " in first
    assert " 0.250 ms " in first and " 2.50 ms " in first and " 198 kB " in first
    assert last.split()[:5] == ["largest", "0.900", "ms", "9.00", "ms"]


def test_without_a_latency_limit() -> None:
    row = {**SIZES, "limit_ms": None, "limits": {"params": 5e3}, "measured": {"latency_ms": 0.25}}
    row |= {"folder": "subnets/a", "largest": False}
    _, _, line, free = printed(row, {**row, "limits": {}})
    assert line.split()[:3] == ["5.00", "k", "params"]
    assert free.split()[0] == "none"
