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
        own = [block for block in alone if types[block.members[0]] == kind]
        small = [block for block in own if block.code.how != "same" and len(arrays[block.members[0]]) <= SMALL]
        if len(small) > 1:
            members = tuple(block.members[0] for block in small)
            together = Block(
                members, coded(np.concatenate([arrays[index] for index in members]), kind.is_floating_point)
            )
            if together.bytes < sum(block.bytes for block in small):
                own = [block for block in own if block not in small] + [together]
        blocks += own
    return blocks


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
