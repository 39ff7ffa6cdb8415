"""Numbers as people read them."""

from __future__ import annotations

import pytest

from search.text import (
    bytes_text,
    cost_text,
    count_text,
    limits_text,
    ms_text,
    percent_text,
    signed_points,
    times_text,
)


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.0369, "0.0369 ms"), (0.1234, "0.123 ms"), (4.0, "4.00 ms"), (123.4, "123 ms")]
)
def test_ms_have_three_digits(value: float | None, text: str) -> None:
    assert ms_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (950, "950"),
        (12_345, "12.3 k"),
        (4_184_704, "4.18 M"),
        (2.5e11, "250 G"),
        (4**600, "10^361"),
        (1e308, "10^308"),
    ],
)
def test_counts_have_three_digits(value: float | None, text: str) -> None:
    assert count_text(value) == text


def test_sizes_fractions_and_differences() -> None:
    assert (bytes_text(352_000), bytes_text(12), bytes_text(None)) == ("352 kB", "12 B", "-")
    assert (percent_text(0.98611), percent_text(None)) == ("98.61 %", "-")
    assert [signed_points(value) for value in (-0.0028, 0.0028)] == ["\N{MINUS SIGN}0.28 points", "+0.28 points"]
    assert signed_points(0.0).endswith("0.00 points")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("latency_ms", 0.25, "0.250 ms"),
        ("latency_ms@phone", 3.0, "3.00 ms on phone"),
        ("macs", 123_000, "123 k MACs"),
        ("params", 1e6, "1.00 M params"),
        ("bytes", 4e6, "4.00 MB"),
        ("peak_activation_bytes", 2e5, "200 kB of activations"),
    ],
)
def test_every_figure_has_its_unit(name: str, value: float, text: str) -> None:
    assert cost_text(name, value) == text


def test_limits_begin_with_latencies() -> None:
    limits = {"params": 1e6, "latency_ms@b": 3.0, "latency_ms@a": 0.25}
    assert limits_text(limits) == "limit 3.00 ms on b, 0.250 ms on a, 1.00 M params"
    assert limits_text({"latency_ms": 4.0}, "≤ ") == "≤ 4.00 ms"
    assert limits_text({}) == ""
    assert times_text({"latency_ms@b": 3.0, "latency_ms@a": 0.25}) == "3.00 ms on b, 0.250 ms on a"
