"""Which storages are alive together, at which depths."""

from ofa.memory.moments import Moment, find_moments, largest_moments
from ofa.memory.tape import StorageLife, Tape


def test_moments_of_a_tape() -> None:
    """Storage 1 goes into a block that makes 2, a temporary, and 3, its output; 1 lives on to step 4."""
    lives = [(0, 5, ""), (1, 4, ""), (2, 3, "block"), (3, 5, "block")]
    storages = tuple(StorageLife(birth, death, (4,), block) for birth, death, block in lives)
    tape = Tape(("input", "a", "b", "c", "d", "e"), ("", "", "block", "block", "", ""), storages, {"block": {3: 1}})
    found = find_moments(tape, [0, 1, 2, 1], {"block": (0, 1)}, [range(1, 3)])
    assert found == [
        (Moment(((0, 1),), (1,), (2,)),),
        (Moment(((0, 1), (1, 1)), (1,), (2,)),),
        (Moment(((0, 1), (1, 1), (2, 1)), (2,), (2,)),),
        (Moment(((0, 1), (1, 2), (2, 1)), (2,), (2,)),),
        (Moment(((0, 1), (1, 1)), (1,), (1,)), Moment(((0, 1), (1, 2)), (2,), (2,))),
        (Moment(((0, 1), (1, 1)), (1,), (2,)),),
    ]
    kept = largest_moments([moment for moments in found for moment in moments])
    assert set(kept) == {found[1][0], found[3][0], found[4][0]}
