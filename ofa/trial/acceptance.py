"""Acceptance: which of many proposals pass together, found with few and mostly short trials."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Generic, TypeVar

from ofa.trial.trial import Failure

T = TypeVar("T")
# Why items fail together in the checks of these names, or in any check where None; None where they pass.
Judge = Callable[[Sequence[T], Collection[str] | None], Failure | None]

TOGETHER = "not together with the others"


def accept(items: Sequence[T], judge: Judge[T], *, once: bool = False) -> tuple[list[T], list[tuple[T, str]]]:
    """Returns the items that pass together, and each of the others with the reason why it does not.

    What fails together is halved, so that a few that fail among many cost a logarithm of their number each. Halves are
    put only to the checks that have failed so far; what remains in the end passes all of them.

    Args:
        items: in order of preference. judge: of a part of them; what passes is expected to pass in parts, too.
        once: whether to return after the first check that fails, when the items that remain may fail in others.
    """
    halving = _Halving(items, judge)
    accepted: list[int] = list(range(len(items)))
    refused: dict[int, Failure] = {}
    while accepted and (failure := judge([items[i] for i in accepted], None)):
        halving.add(accepted, failure)
        accepted, refused = halving.result()
        if once:
            break
    return [items[i] for i in accepted], [(items[i], halving.reason(i, refused[i])) for i in sorted(refused)]


class _Halving(Generic[T]):
    """The halving under the checks known to fail for some; what was judged is not judged again."""

    def __init__(self, items: Sequence[T], judge: Judge[T]) -> None:
        self._items = items
        self._judge = judge
        self._checks: set[str] = set()
        self._failed: dict[tuple[int, ...], Failure] = {}
        self._passed: dict[tuple[int, ...], set[str]] = {}

    def add(self, part: Sequence[int], failure: Failure) -> None:
        """Notes that a part fails a check, which is then run on all parts."""
        self._checks.add(failure.check)
        self._failed[tuple(sorted(part))] = failure

    def result(self) -> tuple[list[int], dict[int, Failure]]:
        """Returns the positions accepted under the known checks, and why the others are not."""
        accepted: list[int] = []
        refused: dict[int, Failure] = {}

        # Parts that wait, each with how it fails if as many as `fresh` were accepted since there were `before`.
        waiting: list[tuple[range, Failure | None, int, int]] = [(range(len(self._items)), None, 0, 0)]
        while waiting and self._items:
            part, known, before, fresh = waiting.pop()
            # Where the first half was accepted, the second beside it is what has just failed.
            whole = known if len(accepted) - before == fresh else None
            failure = whole or self._failure([*accepted, *part])
            if failure is None:
                accepted.extend(part)
            elif len(part) == 1:
                refused[part[0]] = failure
            else:
                middle = len(part) // 2
                waiting += [(part[middle:], failure, len(accepted), middle), (part[:middle], None, 0, 0)]
        return accepted, refused

    def reason(self, position: int, beside: Failure) -> str:
        """Returns why an item is refused: why it fails alone, otherwise why beside those that were accepted."""
        alone = self._judge([self._items[position]], None)
        return f"{TOGETHER}: {beside.reason}" if alone is None else alone.reason

    def _failure(self, part: Sequence[int]) -> Failure | None:
        key = tuple(sorted(part))
        if key in self._failed:
            return self._failed[key]
        passed = self._passed.setdefault(key, set())
        if new := self._checks - passed:
            failure = self._judge([self._items[i] for i in part], new)
            if failure is not None:
                self._failed[key] = failure
                return failure
            passed |= new
        return None
