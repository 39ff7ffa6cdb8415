"""Moments: which storages are alive together in each step of a tape, and at which depths of the stages that holds.

A dropped block takes its steps and its storages with it, and hands its input on: what would hold its output holds its
input instead. If both were alive, they are then one storage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from ofa.errors import InvalidInput
from ofa.memory.tape import NOT_COUNTED, Tape

MOST_CASES = 4096

# Where a block stands: the number of its stage, and its position in it. It is dropped where the depth is not above it.
Gates = Mapping[str, tuple[int, int]]
# A block, and the storage that its output is when it is dropped.
Hop = tuple[str, int]


@dataclass(frozen=True)
class Moment:
    """What is alive in one step: (size, how many of that size), where every depth is within `least` and `most`."""

    counts: tuple[tuple[int, int], ...]
    least: tuple[int, ...]
    most: tuple[int, ...]

    def holds(self, depths: Sequence[int]) -> bool:
        """Whether the step runs with these storages at these depths."""
        return all(low <= depth <= high for low, depth, high in zip(self.least, depths, self.most, strict=True))


def find_moments(
    tape: Tape, sizes: Sequence[int | None], gates: Gates, depths: Sequence[range]
) -> list[tuple[Moment, ...]]:
    """Returns for each step its moments: one where the step runs at any depths, else one per case.

    Args:
        tape: the run of the whole model, its droppable blocks watched.
        sizes: by storage, the number of its size; None where it is empty.
        gates: where each droppable block stands.
        depths: which depths each stage can have.

    Raises:
        InvalidInput: more than 4,096 cases in one step.
    """
    return [_moments(step, tape, sizes, gates, depths) for step in range(len(tape.ops))]


def _moments(
    step: int, tape: Tape, sizes: Sequence[int | None], gates: Gates, depths: Sequence[range]
) -> tuple[Moment, ...]:
    least = [choices[0] for choices in depths]
    if tape.blocks[step]:
        stage, position = gates[tape.blocks[step]]
        least[stage] = max(least[stage], position + 1)
    chains = {
        number: _chain(number, tape, gates, least)
        for number, storage in enumerate(tape.storages)
        if storage.birth <= step <= storage.death
    }
    bounds = [{low, choices[-1] + 1} for low, choices in zip(least, depths, strict=True)]
    for block in _deciding(chains, sizes):
        stage, position = gates[block]
        bounds[stage].add(position + 1)
    cases = 1
    for bound in bounds:
        cases *= len(bound) - 1
    if cases > MOST_CASES:
        raise InvalidInput(f"op {step} ({tape.ops[step]}) holds other storages in {cases} cases of depths: too many")
    spans = [list(zip(sorted(bound), sorted(bound)[1:], strict=False)) for bound in bounds]
    return tuple(_moment(case, chains, sizes, gates) for case in product(*spans))


def _moment(
    case: Sequence[tuple[int, int]], chains: Mapping[int, Sequence[Hop]], sizes: Sequence[int | None], gates: Gates
) -> Moment:
    alive = set()
    for number, chain in chains.items():
        for block, source in chain:
            stage, position = gates[block]
            if case[stage][0] > position:
                break
            number = source
        alive.add(number)
    counts = Counter(size for number in alive if (size := _size(number, sizes)) is not None)
    return Moment(tuple(sorted(counts.items())), tuple(low for low, _ in case), tuple(high - 1 for _, high in case))


def _chain(number: int, tape: Tape, gates: Gates, least: Sequence[int]) -> list[Hop]:
    """Returns which storage takes the place of this one, when its block and those before it are dropped."""
    hops: list[Hop] = []
    while number != NOT_COUNTED and (block := tape.storages[number].block):
        stage, position = gates[block]
        if position < least[stage]:
            break
        number = tape.passed[block].get(number, NOT_COUNTED)  # what lived inside the block goes with it
        hops.append((block, number))
    return hops


def _deciding(chains: Mapping[int, Sequence[Hop]], sizes: Sequence[int | None]) -> set[str]:
    """Returns the blocks that change what is alive when dropped: a size differs, or two storages become one.

    Usually none: a block's output is as large as its input, and only one of them lives on.
    """
    deciding: set[str] = set()
    for start, chain in chains.items():
        before = start
        for i, (_, number) in enumerate(chain):
            if _size(number, sizes) != _size(before, sizes):
                deciding.update(block for block, _ in chain[: i + 1])
            before = number
    for (first, hops), (second, other) in combinations(chains.items(), 2):
        places = {number: i for i, number in enumerate([second, *(number for _, number in other)])}
        for i, number in enumerate([first, *(number for _, number in hops)]):
            if number != NOT_COUNTED and number in places:
                deciding.update(block for block, _ in [*hops[:i], *other[: places[number]]])
                break
    return deciding


def _size(number: int, sizes: Sequence[int | None]) -> int | None:
    return None if number == NOT_COUNTED else sizes[number]


def largest_moments(moments: Sequence[Moment]) -> list[Moment]:
    """Returns the moments without those that another, at the same depths, holds all of: they cannot be the peak."""
    largest: dict[tuple[tuple[int, ...], tuple[int, ...]], list[Counter[int]]] = {}
    for moment in sorted(moments, key=lambda moment: -sum(count for _, count in moment.counts)):
        counts = Counter(dict(moment.counts))
        others = largest.setdefault((moment.least, moment.most), [])
        if not any(counts <= other for other in others):
            others.append(counts)
    return [
        Moment(tuple(sorted(counts.items())), least, most)
        for (least, most), counters in largest.items()
        for counts in counters
    ]
