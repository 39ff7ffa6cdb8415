"""Whatever a save takes, saving takes at most a twentieth of the time, and intervals count from its end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ofa.train.pace import LARGEST_SHARE, Pace


def test_an_interval_counts_from_the_end_of_the_last_one():
    pace = Pace(30.0, since=100.0)
    assert not pace.is_due(129.9) and pace.is_due(130.0)
    pace.ended(1.0, now=131.0)
    assert not pace.is_due(160.9) and pace.is_due(161.0)


def test_no_interval_is_never_due():
    assert not Pace(None, since=0.0).is_due(1e12)


@given(
    interval=st.floats(0, 10),
    saves=st.lists(st.floats(0.01, 100), min_size=1, max_size=20),
    step=st.floats(0.01, 5),
)
def test_the_share_of_the_time_is_bounded(interval, saves, step):
    pace, now, began = Pace(interval, since=0.0), 0.0, []
    for took in saves:
        while not pace.is_due(now):
            now += step
        began.append(now)
        now += took
        pace.ended(took, now)
    for number, took in enumerate(saves[:-1]):  # a save, and the time until the next one
        assert took <= (LARGEST_SHARE + 1e-9) * (began[number + 1] - began[number])
        assert began[number + 1] - began[number] - took >= interval - 1e-9
