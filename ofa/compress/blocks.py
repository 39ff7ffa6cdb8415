"""Which tensors are coded together, and what each of them takes of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Literal

import numpy as np
import torch

from ofa.compress.code import Code
from ofa.compress.coding import coded
from ofa.compress.decoding.reader import Array

Coding = Literal["best", "huffman"]
SMALL = 4096  # numbers of a tensor that may be coded together with others
SECONDS = 0.9  # that decoding bit by bit may take in all, on a processor of 2020


@dataclass(frozen=True)
class Block:
    """Tensors, by place, that are coded one behind the other as one array."""

    members: tuple[int, ...]
    code: Code

    @property
    def bytes(self) -> float:
        """What it takes in a file."""
        return self.code.bytes + len(self.members) + 1


def blocks_of(
    arrays: Sequence[Array], types: Sequence[torch.dtype], rows: Sequence[int], coding: Coding
) -> list[Block]:
    """Returns every tensor in one block: small ones of a type together, where that takes fewer bytes.

    Args:
        arrays: the patterns of each.
        types: what they are of.
        rows: the first dimension of those that have several, else 0.
        coding: "huffman": nothing is coded bit by bit.
    """
    seconds = SECONDS / max(1, sum(map(len, arrays))) if coding == "best" else 0.0
    alone = [
        Block((index,), coded(array, kind.is_floating_point, rows[index], seconds * len(array)))
        for index, (array, kind) in enumerate(zip(arrays, types, strict=True))
    ]
    blocks: list[Block] = []
    for kind in dict.fromkeys(types):
        blocks += _joined([block for block in alone if types[block.members[0]] == kind], arrays, rows, kind)
    return blocks


def _joined(own: list[Block], arrays: Sequence[Array], rows: Sequence[int], kind: torch.dtype) -> list[Block]:
    """Blocks of one type: small constants of equal value as one, and small tensors, or vectors alone, as another."""
    small = [block for block in own if len(arrays[block.members[0]]) <= SMALL]
    constant: dict[int, list[Block]] = {}
    for block in small:
        if block.code.how == "same":
            constant.setdefault(int(arrays[block.members[0]][0]), []).append(block)
    varied = [block for block in small if block.code.how != "same"]
    vectors = [block for block in varied if not rows[block.members[0]]]
    blocks = own
    for group in constant.values():
        blocks = _with(blocks, group, arrays, kind)
    return min((_with(blocks, group, arrays, kind) for group in (varied, vectors)), key=_bytes)


def _with(blocks: list[Block], group: Sequence[Block], arrays: Sequence[Array], kind: torch.dtype) -> list[Block]:
    """The blocks, those of the group as one where that takes fewer bytes."""
    if len(group) < 2:
        return blocks
    members = tuple(block.members[0] for block in group)
    array = np.concatenate([arrays[place] for place in members])
    together = Block(members, coded(array, kind.is_floating_point))
    if together.bytes >= _bytes(group):
        return blocks
    return [*(block for block in blocks if block not in group), together]


def _bytes(blocks: Sequence[Block]) -> float:
    return sum(block.bytes for block in blocks)


def shares_of(blocks: Sequence[Block], sizes: Sequence[int]) -> list[tuple[tuple[int, int, int], float, str]]:
    """Returns, for every tensor, its part of its block by its size in memory: of positions, values and tables in bytes,
    of the directory, and how it is coded."""
    shares: dict[int, tuple[tuple[int, int, int], float, str]] = {}
    for block in blocks:
        whole = max(1, sum(sizes[index] for index in block.members))
        for index in block.members:
            part = sizes[index] / whole
            positions, values, tables = (round(part * each) for each in astuple(block.code.parts))
            how = block.code.how if len(block.members) == 1 else f"{block.code.how}, with others"
            shares[index] = (positions, values, tables), part * len(block.code.directory), how
    return [shares[index] for index in range(len(sizes))]
