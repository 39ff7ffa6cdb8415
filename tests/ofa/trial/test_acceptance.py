"""What passes together is found by halving, under the checks that failed, with no part judged twice."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from hypothesis import given
from hypothesis import strategies as st

from ofa.trial.acceptance import TOGETHER, accept
from ofa.trial.trial import Failure

CHECKS = ("a", "b", "c")
# By check: sets of items that fail wherever all of them are.
conflicts = st.fixed_dictionaries(
    {check: st.lists(st.frozensets(st.integers(0, 11), min_size=1, max_size=2), max_size=3) for check in CHECKS}
)


class Judge:
    """Fails a part in the first check that has a conflict in it, and counts what it is asked."""

    def __init__(self, conflicts: dict[str, list[frozenset[int]]]) -> None:
        self.conflicts = conflicts
        self.asked: list[tuple[frozenset[int], frozenset[str] | None]] = []

    def __call__(self, part: Sequence[int], only: Collection[str] | None) -> Failure | None:
        self.asked.append((frozenset(part), None if only is None else frozenset(only)))
        for check in CHECKS:
            if only is None or check in only:
                for conflict in self.conflicts[check]:
                    if conflict <= set(part):
                        return Failure(check, f"{check}: {sorted(conflict)}")
        return None


@given(conflicts)
def test_items_are_taken_in_order_unless_they_fail_beside_those_before(
    conflicts: dict[str, list[frozenset[int]]],
) -> None:
    judge = Judge(conflicts)
    accepted, refused = accept(range(12), judge)
    expected: list[int] = []
    for item in range(12):
        if Judge(conflicts)([*expected, item], None) is None:
            expected.append(item)
    assert accepted == expected
    reasons = dict(refused)
    assert sorted([*accepted, *reasons]) == list(range(12))
    for item, reason in reasons.items():
        alone = Judge(conflicts)([item], None)
        assert reason.startswith(TOGETHER) if alone is None else reason == alone.reason
    halves = [asked for asked in judge.asked if asked[1] is not None]
    assert len(halves) == len(set(halves))


def test_few_that_fail_among_many_cost_short_trials_alone() -> None:
    judge = Judge({"a": [frozenset({70})], "b": [], "c": []})
    accepted, _ = accept(range(256), judge)
    assert len(accepted) == 255
    whole = [part for part, only in judge.asked if only is None]
    assert [len(part) for part in whole] == [256, 255, 1]
    assert len(judge.asked) - len(whole) <= 16


def test_once_ends_after_the_first_check_that_fails() -> None:
    judge = Judge({"a": [frozenset({1})], "b": [frozenset({2})], "c": []})
    assert accept(range(4), judge, once=True)[0] == [0, 2, 3]
    assert accept(range(4), judge)[0] == [0, 3]
