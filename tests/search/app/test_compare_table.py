"""The tables of a comparison: a line a subnet, a line a pair, what was found, and doubts about a measurement."""

from __future__ import annotations

import io

from search.app.compare_table import print_comparison
from tests.search.comparisons import SEARCHES, compared


def printed(content: dict[str, object]) -> list[str]:
    stream = io.StringIO()
    print_comparison(content, stream)
    return [" ".join(line.split()) for line in stream.getvalue().splitlines()]


def test_every_subnet_and_every_pair_has_a_line() -> None:
    lines = printed(compared())
    assert "A laptop ≤ 2.10 ms 93.00 % 2.00 ms, 25 %, meets 2 of 2 60.0 ms, 60 %, meets 0 of 2" in lines
    assert any(line.startswith("largest to compare with 97.00 % 8.00 ms, 100 %") for line in lines)
    assert (
        "laptop ≤ 2.10 ms A: 2.00 ms, 93.00 % C: 6.40 ms, 93.20 % (phone) meets the limit where the other does not"
        in lines
    )
    assert any(line.endswith("not better: both chose the same subnet") for line in lines)
    assert lines[-1] == compared()["found"]


def test_without_pairs_there_is_one_table_and_a_poor_measurement_is_said() -> None:
    content = compared({"laptop": SEARCHES["laptop"]}, devices=("laptop",))
    assert not [line for line in printed(content) if line.startswith("on limit")]
    content["devices"][0]["verdict"] = "noisy"
    assert "the measurement on laptop is noisy: repeat it on a quiet machine" in printed(content)
