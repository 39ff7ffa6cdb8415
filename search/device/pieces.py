"""Which pieces of a supernet are timed alone, and what their times become in a profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ofa.arch import Arch
from ofa.errors import InvalidInput
from search.device.block_table import Local, TimedPiece, local_columns
from search.device.blocks import Block, Piece, find_blocks, pieces_of
from search.device.timing import Timing

if TYPE_CHECKING:
    from ofa.supernet import Supernet

Places = tuple[tuple[str, Local], ...]
DRAWS = 200  # Archs that are looked at for pieces beyond those of the anchors
PATIENCE = 20  # draws without a new piece, before a space is taken to have no more


def choose_pieces(supernet: Supernet, archs: Sequence[Arch], count: int, seed: int) -> list[tuple[Piece, Places]]:
    """Returns up to `count` distinct pieces with every place where they were found, of `archs` and of random Archs.

    Where there are more, every block gets an equal share, spread over what was found. With no more than `count` in
    the whole space all of them are timed, and nothing has to be guessed between.
    """
    if count < 1:
        return []
    blocks = find_blocks(supernet)
    columns = {block.name: local_columns(supernet, block) for block in blocks}
    generator = np.random.default_rng([seed, 3])
    found: dict[str, Piece] = {}
    places: dict[str, dict[tuple[str, Local], None]] = {}
    quiet = 0
    drawn = (supernet.space.sample(generator) for _ in range(DRAWS))
    for number, arch in enumerate([*archs, *drawn]):
        if number >= len(archs) and (quiet >= PATIENCE or len(found) >= 2 * count):
            break
        row = supernet.space.encode([arch])[0]
        before = len(found)
        for piece in pieces_of(supernet, arch, blocks):
            local = tuple(int(row[column]) for column in columns[piece.block.name])
            found.setdefault(piece.key, piece)
            places.setdefault(piece.key, {})[(piece.block.name, local)] = None
        quiet = 0 if len(found) > before else quiet + 1
    chosen = _shares(list(found.values()), blocks, count)
    return [(piece, tuple(places[piece.key])) for piece in chosen]


def _shares(pieces: list[Piece], blocks: Sequence[Block], count: int) -> list[Piece]:
    """An equal share of the pieces for every block, each evenly spread over those found."""
    if len(pieces) <= count:
        return pieces
    share = max(count // max(len({piece.block.name for piece in pieces}), 1), 1)
    chosen = []
    for block in blocks:
        own = sorted((piece for piece in pieces if piece.block.name == block.name), key=_weights)
        spread = np.linspace(0, len(own) - 1, min(share, len(own))).round().astype(int)
        chosen += [own[index] for index in np.unique(spread)]
    return chosen


def _weights(piece: Piece) -> tuple[int, str]:
    return sum(tensor.numel() for tensor in piece.net.parameters()), piece.key


def to_entries(
    supernet: Supernet, pieces: Sequence[tuple[Piece, Places]], timings: Sequence[Timing | None]
) -> tuple[dict[str, Any], ...]:
    """Returns the profile's entries of pieces, JSON-able; a block of which a piece was refused is left out whole."""
    refused = {
        name for (_, places), timing in zip(pieces, timings, strict=True) if timing is None for name, _ in places
    }
    keys = {
        block.name: [supernet.space.choices[column].key for column in local_columns(supernet, block)]
        for block in find_blocks(supernet)
    }
    entries = []
    for (piece, places), timing in zip(pieces, timings, strict=True):
        kept = [(name, local) for name, local in places if name not in refused]
        if timing is not None and kept:
            where = [{"block": name, "choices": dict(zip(keys[name], local, strict=True))} for name, local in kept]
            entries.append({"key": piece.key, "places": where, **timing.to_dict()})
    return tuple(entries)


def from_entries(supernet: Supernet, entries: Sequence[Mapping[str, Any]]) -> list[TimedPiece]:
    """Returns what a profile's entries say, for the BlockTable of a supernet.

    Raises:
        InvalidInput: an entry names a block or a choice that the supernet does not have.
    """
    columns = {block.name: local_columns(supernet, block) for block in find_blocks(supernet)}
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
