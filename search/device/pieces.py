"""Which pieces of a supernet are timed alone, and what their times become in a profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ofa.arch import Arch
from ofa.errors import InvalidInput
from search.device.blocks import Block, Piece, find_blocks, pairs_of, pieces_of
from search.device.local_choices import ColumnsOf, Local, TimedPiece
from search.device.timing import Timing

if TYPE_CHECKING:
    from ofa.supernet import Supernet

Places = tuple[tuple[str, Local], ...]
DRAWS = 200  # Archs that are looked at for pieces beyond those of the anchors
PATIENCE = 20  # draws without a new piece, before a space is taken to have no more


def choose_pieces(supernet: Supernet, archs: Sequence[Arch], count: int, seed: int) -> list[tuple[Piece, Places]]:
    """Returns up to `count` distinct pieces with every place where they were found, of `archs` and of random Archs.

    Where there are more, every block gets an equal share, spread over what was found. With no more than `count` in
    the whole space all of them are timed, and nothing has to be guessed between. After them come, again up to
    `count`, pairs of blocks in a row: one for each border and each choice that reaches across it.
    """
    if count < 1:
        return []
    blocks, columns = find_blocks(supernet), ColumnsOf(supernet)
    generator = np.random.default_rng([seed, 3])
    found: dict[str, Piece] = {}
    places: dict[str, dict[tuple[str, Local], None]] = {}
    borders: dict[tuple[str, Local], list[tuple[Piece, Local, tuple[str, str]]]] = {}
    quiet = 0
    drawn = (supernet.space.sample(generator) for _ in range(DRAWS))
    for number, arch in enumerate([*archs, *drawn]):
        if number >= len(archs) and (quiet >= PATIENCE or len(found) >= 2 * count):
            break
        row = supernet.space.encode([arch])[0]
        before = len(found)
        pieces = pieces_of(supernet, arch, blocks)
        for piece in pieces:
            found.setdefault(piece.key, piece)
            places.setdefault(piece.key, {})[(piece.block.name, _local(columns[piece.block.name], row))] = None
        keys = {piece.block.name: piece.key for piece in pieces}
        for pair in pairs_of(pieces):
            first, second = pair.block.name.split("+")
            across = _local(columns.across(first, second), row)
            made = (pair, _local(columns[pair.block.name], row), (keys[first], keys[second]))
            borders.setdefault((pair.block.name, across), []).append(made)
        quiet = 0 if len(found) > before else quiet + 1
    # Of a border the pair of least weights: together larger ones outgrow a cache that each alone fits in, and that is
    # no matter of the border.
    pairs = [min(candidates, key=lambda one: _weights(one[0])) for candidates in borders.values()]
    spread = np.linspace(0, max(len(pairs) - 1, 0), min(count, len(pairs))).round().astype(int).tolist()
    pairs = [pairs[index] for index in spread]
    needed = {key: None for _, _, keys in pairs for key in keys}  # timed alone as well: then nothing is guessed
    chosen = [found[key] for key in list(needed)[:count]]
    rest = [piece for key, piece in found.items() if key not in needed]
    chosen += _shares(rest, blocks, count - len(chosen))
    timed_alone = [(piece, tuple(places[piece.key])) for piece in chosen]
    return timed_alone + [(pair, ((pair.block.name, local),)) for pair, local, _ in pairs]


def _local(columns: Sequence[int], row: np.ndarray[Any, np.dtype[np.int64]]) -> Local:
    return tuple(int(row[column]) for column in columns)


def _shares(pieces: list[Piece], blocks: Sequence[Block], count: int) -> list[Piece]:
    """An equal share of the pieces for every block, each evenly spread over those found."""
    if len(pieces) <= count:
        return pieces
    if count < 1:
        return []
    share = max(count // max(len({piece.block.name for piece in pieces}), 1), 1)
    chosen = []
    for block in blocks:
        own = sorted((piece for piece in pieces if piece.block.name == block.name), key=_weights)
        spread = np.linspace(0, len(own) - 1, min(share, len(own))).round().astype(int)
        chosen += [own[index] for index in np.unique(spread)]
    return chosen


def _weights(piece: Piece) -> tuple[int, str]:
    return sum(tensor.numel() for tensor in piece.net.parameters()), piece.key


def placed(supernet: Supernet, pieces: Sequence[tuple[Piece, Places]]) -> list[dict[str, Any]]:
    """Returns {"key", "places": [{"block", "choices"}]} of each piece, JSON-able."""
    columns = ColumnsOf(supernet)

    def choices(name: str, local: Local) -> dict[str, int]:
        keys = [supernet.space.choices[column].key for column in columns[name]]
        return dict(zip(keys, local, strict=True))

    return [
        {"key": piece.key, "places": [{"block": name, "choices": choices(name, local)} for name, local in places]}
        for piece, places in pieces
    ]


def timed(pieces: Sequence[Mapping[str, Any]], timings: Sequence[Timing | None]) -> tuple[dict[str, Any], ...]:
    """Returns the profile's entries of what `placed` gave; a block of which a piece was refused is left out whole."""
    together = list(zip(pieces, timings, strict=True))
    refused = {place["block"] for piece, timing in together if timing is None for place in piece["places"]}
    entries = []
    for piece, timing in together:
        kept = [place for place in piece["places"] if place["block"] not in refused]
        if timing is not None and kept:
            entries.append({"key": piece["key"], "places": kept, **timing.to_dict()})
    return tuple(entries)


def from_entries(supernet: Supernet, entries: Sequence[Mapping[str, Any]]) -> list[TimedPiece]:
    """Returns what a profile's entries say, for the BlockTable of a supernet.

    Raises:
        InvalidInput: an entry names a block or a choice that the supernet does not have.
    """
    columns = ColumnsOf(supernet)
    pieces = []
    for entry in entries:
        places = []
        for place in entry["places"]:
            name, choices = place["block"], place["choices"]
            if name not in columns:
                raise InvalidInput(f"the profile times block {name!r}, which this supernet does not have")
            keys = [supernet.space.choices[column].key for column in columns[name]]
            if set(choices) != set(keys):
                raise InvalidInput(f"block {name!r} depends on {', '.join(keys)}, not on {', '.join(choices)}")
            places.append((name, tuple(int(choices[key]) for key in keys)))
        pieces.append(TimedPiece(str(entry["key"]), float(entry["ms"]), tuple(places)))
    return pieces
