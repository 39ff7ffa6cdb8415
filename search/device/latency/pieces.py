"""Pieces: the blocks of a supernet that are timed alone, the choices that shape each, and their timings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import structs

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.records import Name, Part, Text
from ofa.resolution import KEY as RESOLUTION
from search.device.latency.blocks import Block, Piece, find_blocks, pairs_of, pieces_of
from search.device.timing import Timing
from search.device.workload import USUAL, Workload

if TYPE_CHECKING:
    from ofa.supernet import Supernet

Local = tuple[int, ...]  # the values of the choices that shape a block; 0 for an inactive one


class BlockPlace(Part, frozen=True, kw_only=True):
    """An occurrence of a block: its name, and the values of the choices that shape it."""

    block: Name
    choices: Mapping[str, int]


class PlacedPiece(Part, frozen=True, kw_only=True):
    """A block that is timed alone, and all its occurrences in the space."""

    key: Text
    places: tuple[BlockPlace, ...]


class PieceTiming(Timing, frozen=True, kw_only=True):
    """A block that was timed alone, as a record in a profile's file."""

    key: Text
    places: tuple[BlockPlace, ...]


@dataclass(frozen=True)
class TimedPiece:
    """The time of one piece alone, in ms, and its occurrences in the space: (block's name, local values)."""

    key: str
    ms: float
    places: tuple[tuple[str, Local], ...]


def local_columns(supernet: Supernet, block: Block) -> list[int]:
    """Returns the positions, in the space's choices, of those that shape a block: the resolution shapes them all."""
    reached = {
        f"width.{supernet.groups[group].name}"
        for tensor, axes in supernet.axes.items()
        if any(block_holds(block, owner) for owner in supernet.owners(tensor))
        for axis in axes
        for group in axis.groups
    }
    reached |= {f"operator.{other.path}" for other in supernet.structure.operators if block_holds(block, other.path)}
    reached |= {f"kernel_size.{path}" for path in supernet.structure.kernels if block_holds(block, path)}
    reached.add(RESOLUTION)
    return [number for number, choice in enumerate(supernet.space.choices) if choice.key in reached]


class ColumnsOf:
    """The columns of every block of one supernet by name; of "first+second", the columns of both."""

    def __init__(self, supernet: Supernet) -> None:
        self._columns = {block.name: local_columns(supernet, block) for block in find_blocks(supernet)}

    def __contains__(self, name: str) -> bool:
        return set(name.split("+")) <= self._columns.keys()

    def __getitem__(self, name: str) -> list[int]:
        return sorted({column for part in name.split("+") for column in self._columns[part]})

    def across(self, first: str, second: str) -> list[int]:
        """Returns the columns of the choices that shape both blocks."""
        return sorted(set(self._columns[first]) & set(self._columns[second]))


def block_holds(block: Block, path: str) -> bool:
    """Whether a module lies in a block."""
    return any(path == module or path.startswith(module + ".") for module in block.paths)


Places = tuple[tuple[str, Local], ...]
DRAWS = 200  # random Archs that are searched for pieces in addition to the anchors
PATIENCE = 20  # draws without a new piece after which the space is assumed to have no more


def choose_pieces(
    supernet: Supernet, archs: Sequence[Arch], count: int, seed: int, workload: Workload = USUAL
) -> list[tuple[Piece, Places]]:
    """Returns up to `count` distinct pieces with all their occurrences in `archs` and random Archs.

    If there are more, every block gets an equal share, spread over its pieces. With at most `count` in the whole space
    all of them are timed, and nothing has to be interpolated. Pairs of consecutive blocks follow, again up
    to `count`: one for each transition and each choice that shapes both sides.
    """
    if count < 1:
        return []
    blocks, columns = find_blocks(supernet), ColumnsOf(supernet)
    generator = np.random.default_rng([seed, 3])
    by_key: dict[str, Piece] = {}
    places: dict[str, dict[tuple[str, Local], None]] = {}
    transitions: dict[tuple[str, Local], list[tuple[Piece, Local, tuple[str, str]]]] = {}
    quiet = 0
    drawn = (supernet.space.sample(generator) for _ in range(DRAWS))
    for number, arch in enumerate([*archs, *drawn]):
        if number >= len(archs) and (quiet >= PATIENCE or len(by_key) >= 2 * count):
            break
        row = supernet.space.encode([arch])[0]
        before = len(by_key)
        pieces = pieces_of(supernet, arch, blocks, workload)
        for piece in pieces:
            by_key.setdefault(piece.key, piece)
            places.setdefault(piece.key, {})[(piece.block.name, _local(columns[piece.block.name], row))] = None
        keys = {piece.block.name: piece.key for piece in pieces}
        for pair in pairs_of(pieces):
            first, second = pair.block.name.split("+")
            across = _local(columns.across(first, second), row)
            pair_places = (pair, _local(columns[pair.block.name], row), (keys[first], keys[second]))
            transitions.setdefault((pair.block.name, across), []).append(pair_places)
        quiet = 0 if len(by_key) > before else quiet + 1
    # The pair with the fewest weights of each transition: a larger pair may exceed a cache that each alone fits in,
    # which is not an effect of the transition.
    pairs = [min(candidates, key=lambda candidate: _weights(candidate[0])) for candidates in transitions.values()]
    spread = np.linspace(0, max(len(pairs) - 1, 0), min(count, len(pairs))).round().astype(int).tolist()
    pairs = [pairs[index] for index in spread]
    needed = {key: None for _, _, keys in pairs for key in keys}  # also timed alone, so that nothing is interpolated
    chosen = [by_key[key] for key in list(needed)[:count]]
    rest = [piece for key, piece in by_key.items() if key not in needed]
    chosen += _shares(rest, blocks, count - len(chosen))
    timed_alone = [(piece, tuple(places[piece.key])) for piece in chosen]
    return timed_alone + [(pair, ((pair.block.name, local),)) for pair, local, _ in pairs]


def _local(columns: Sequence[int], row: np.ndarray[Any, np.dtype[np.int64]]) -> Local:
    return tuple(int(row[column]) for column in columns)


def _shares(pieces: list[Piece], blocks: Sequence[Block], count: int) -> list[Piece]:
    """An equal share of the pieces for every block, evenly spread over the block's pieces."""
    if len(pieces) <= count:
        return pieces
    if count < 1:
        return []
    share = max(count // max(len({piece.block.name for piece in pieces}), 1), 1)
    chosen = []
    for block in blocks:
        of_block = sorted((piece for piece in pieces if piece.block.name == block.name), key=_weights)
        spread = np.linspace(0, len(of_block) - 1, min(share, len(of_block))).round().astype(int)
        chosen += [of_block[index] for index in np.unique(spread)]
    return chosen


def _weights(piece: Piece) -> tuple[int, str]:
    return sum(tensor.numel() for tensor in piece.net.parameters()), piece.key


def placed(supernet: Supernet, pieces: Sequence[tuple[Piece, Places]]) -> list[PlacedPiece]:
    """Returns the pieces with their occurrences as records for a file."""
    columns = ColumnsOf(supernet)

    def choices(name: str, local: Local) -> dict[str, int]:
        keys = [supernet.space.choices[column].key for column in columns[name]]
        return dict(zip(keys, local, strict=True))

    return [
        PlacedPiece(
            key=piece.key, places=tuple(BlockPlace(block=name, choices=choices(name, local)) for name, local in places)
        )
        for piece, places in pieces
    ]


def timed(pieces: Sequence[PlacedPiece], timings: Sequence[Timing | None]) -> tuple[PieceTiming, ...]:
    """Returns the pieces with their timings; a block with a refused piece is left out completely."""
    together = list(zip(pieces, timings, strict=True))
    refused = {located.block for piece, timing in together if timing is None for located in piece.places}
    entries = []
    for piece, timing in together:
        places = tuple(located for located in piece.places if located.block not in refused)
        if timing is not None and places:
            entries.append(PieceTiming(**structs.asdict(timing), key=piece.key, places=places))
    return tuple(entries)


def from_entries(supernet: Supernet, entries: Sequence[PieceTiming]) -> list[TimedPiece]:
    """Returns the timed pieces of a profile's entries, for the BlockTable of a supernet.

    Raises:
        InvalidInput: an entry names a block or a choice that the supernet does not have.
    """
    columns = ColumnsOf(supernet)
    pieces = []
    for entry in entries:
        places = []
        for located in entry.places:
            name, choices = located.block, located.choices
            if name not in columns:
                raise InvalidInput(f"the profile times block {name!r}, which this supernet does not have")
            keys = [supernet.space.choices[column].key for column in columns[name]]
            if set(choices) != set(keys):
                raise InvalidInput(f"block {name!r} depends on {', '.join(keys)}, not on {', '.join(choices)}")
            places.append((name, tuple(choices[key] for key in keys)))
        pieces.append(TimedPiece(entry.key, entry.ms, tuple(places)))
    return pieces
