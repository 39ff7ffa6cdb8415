"""Numbers as people read them."""

from __future__ import annotations

import pytest

from search.report.numbers import bytes_text, count_text, ms_text, percent_text, signed_points


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.0369, "0.0369 ms"), (0.1234, "0.123 ms"), (4.0, "4.00 ms"), (123.4, "123 ms")]
)
def test_ms_have_three_digits(value: float | None, text: str) -> None:
    assert ms_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (950, "950"), (12_345, "12.3 k"), (4_184_704, "4.18 M"), (2.5e11, "250 G")]
)
def test_counts_have_three_digits(value: float | None, text: str) -> None:
    assert count_text(value) == text


def test_sizes_fractions_and_differences() -> None:
    assert (bytes_text(352_000), bytes_text(12), bytes_text(None)) == ("352 kB", "12 B", "-")
    assert (percent_text(0.98611), percent_text(None)) == ("98.61 %", "-")
    assert [signed_points(value) for value in (-0.0028, 0.0028)] == ["\N{MINUS SIGN}0.28 points", "+0.28 points"]
    assert signed_points(0.0).endswith("0.00 points")
